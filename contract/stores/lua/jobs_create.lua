-- ARGV: 4 share '1'|'0', 5 fingerprint or '', 6 body hash, 7 seconds the idempotency key is kept, 8… fields of the
-- hash.  KEYS[16]: the idempotency key's hash, or ''.  Answers {'known'|'again'|'conflict', job id}, or {'new', job id, its
-- time, queued jobs, running jobs, expected audio, when the oldest of each queue came}: what admission asks for.
local idempotency = KEYS[16]

if redis.call('EXISTS', job) == 1 then
  return { 'again', id } -- ids are random: our own call, repeated by the client library
end
if idempotency ~= '' then
  local first = redis.call('HGET', idempotency, 'job_id')
  if first then
    if redis.call('HGET', idempotency, 'body') ~= ARGV[6] then
      return { 'conflict', first }
    end
    if redis.call('ZSCORE', all, first) then
      return { 'known', first }
    end
  end
end
if ARGV[4] == '1' and ARGV[5] ~= '' then
  local other = redis.call('GET', inflight .. ARGV[5])
  if other then
    local there = string.sub(job, 1, #job - #id) .. other
    local status, cancel = unpack(redis.call('HMGET', there, 'status', 'cancel_requested'))
    if (status == 'queued' or status == 'running') and cancel ~= '1' then
      return { 'known', other }
    end
  end
end

redis.call('HSET', job, unpack(ARGV, 8))
redis.call('HSET', job, 'status', 'queued', 'created_at', seconds(now))
redis.call('ZADD', all, seconds(now), id)
redis.call('ZADD', with_status.queued, seconds(now), id)
enqueue()
count('queued', 1)
if idempotency ~= '' then
  redis.call('HSET', idempotency, 'job_id', id, 'body', ARGV[6])
  redis.call('EXPIRE', idempotency, ARGV[7])
end
if ARGV[5] ~= '' then
  redis.call('SET', inflight .. ARGV[5], id)
end
announce('queued')
local oldest = {}
for _, waiting in pairs(queue) do
  oldest[#oldest + 1] = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')[2]
end
return { 'new', id, seconds(now), redis.call('ZCARD', with_status.queued), redis.call('ZCARD', with_status.running),
  redis.call('HGETALL', load), oldest }
