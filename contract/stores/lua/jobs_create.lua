-- ARGV: 4 what an equal request's work is known by, or '', 5 body hash, 6 seconds the idempotency key is kept, 7… fields
-- of the hash.  KEYS[16]: the idempotency key's hash, or ''.  Answers {'known'|'again'|'conflict', job id},
-- {'follows', job id, leader whose message is to be sent again or ''}, or {'new', job id, its time, queued jobs, running
-- jobs, expected audio, when the oldest of each queue came}: what admission asks for.
local idempotency = KEYS[16]

if redis.call('EXISTS', job) == 1 then
  return { 'again', id } -- ids are random: our own call, repeated by the client library
end
if idempotency ~= '' then
  local first = redis.call('HGET', idempotency, 'job_id')
  if first then
    if redis.call('HGET', idempotency, 'body') ~= ARGV[5] then
      return { 'conflict', first }
    end
    if redis.call('ZSCORE', all, first) then
      redis.call('HSET', records .. first, 'told', '1')
      return { 'known', first }
    end
  end
end

redis.call('HSET', job, unpack(ARGV, 7))
redis.call('HSET', job, 'created_at', seconds(now), 'queued_at', seconds(now))
redis.call('ZADD', all, seconds(now), id)
if idempotency ~= '' then
  redis.call('HSET', idempotency, 'job_id', id, 'body', ARGV[5])
  redis.call('EXPIRE', idempotency, ARGV[6])
end

local LIKE_THE_LEADER = { 'status', 'token', 'attempts', 'progress', 'started_at', 'worker',
  'reference_audio_blob', 'reference_latent_blob' }
local function follow(leader)
  local name, status, values, raised
  as(leader, function()
    if not is_live() or get('cancel_requested') == '1' then
      return
    end
    name, status, values = work(), get('status'), redis.call('HMGET', job, unpack(LIKE_THE_LEADER))
  end)
  if not name then
    return nil
  end
  redis.call('HDEL', job, 'text') -- the leader has it
  redis.call('HSET', job, 'follows', '1', 'shares', name)
  for at, field in ipairs(LIKE_THE_LEADER) do
    if values[at] then
      redis.call('HSET', job, field, values[at])
    end
  end
  redis.call('ZADD', with_status[status], seconds(now), id)
  redis.call('ZADD', records .. name .. ':followers', seconds(now), id)
  redis.call('SADD', records .. name .. ':sharers', name, id)
  announce(status)
  if status == 'queued' and get('priority') == 'interactive' then
    as(leader, function() -- it is as urgent as whoever waits for it longest
      if get('priority') == 'batch' then
        count('queued', -1)
        redis.call('ZADD', queue.interactive, redis.call('ZSCORE', queue.batch, id), id)
        redis.call('ZREM', queue.batch, id)
        redis.call('HSET', job, 'priority', 'interactive')
        count('queued', 1)
        raised = id
      end
    end)
  end
  return { 'follows', id, raised or '' }
end

if ARGV[4] ~= '' then
  local leader = redis.call('GET', inflight .. ARGV[4])
  local joined = leader and follow(leader)
  if joined then
    return joined
  end
  redis.call('HSET', job, 'flight', ARGV[4])
  redis.call('SET', inflight .. ARGV[4], id)
end
redis.call('HSET', job, 'status', 'queued')
redis.call('ZADD', with_status.queued, seconds(now), id)
enqueue()
count('queued', 1)
-- Not announced: nobody knows its id yet.
local oldest = {}
for _, waiting in pairs(queue) do
  oldest[#oldest + 1] = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2]
end
local queued = redis.call('ZCARD', queue.interactive) + redis.call('ZCARD', queue.batch)
return { 'new', id, seconds(now), queued, redis.call('ZCARD', leases), redis.call('HGETALL', load), oldest }
