-- Put before every script on jobs.  The order of KEYS is that of RedisJobStore._run.
-- ARGV: 1 job id, 2 now in seconds ('' asks the server's clock), 3 start of every inflight key, 4… the script's own.
--
-- Equal jobs share one piece of work, named after the first of them.  One job leads it: it stands in the queue, holds
-- the lease and is counted.  The others follow: their records change as the leader's does.
local job, all, tokens, leases, load, unclaimed, ended, channel =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local with_status = {
  queued = KEYS[9], running = KEYS[10], done = KEYS[11], failed = KEYS[12], cancelled = KEYS[13],
}
local webhooks, leaders = KEYS[17], KEYS[18] -- 16 is the script's own
local queue = { interactive = KEYS[14], batch = KEYS[15] }
local id, inflight = ARGV[1], ARGV[3]
local records = string.sub(job, 1, #job - #id)

local now = clock(ARGV[2])

local function get(field)
  return redis.call('HGET', job, field)
end

-- Do something as if the script had been called for another job.
local function as(other, act)
  local before = id
  id, job = other, records .. other
  act()
  id, job = before, records .. before
end

local function publish(about, status)
  redis.call('PUBLISH', channel, '{"kind":"job","id":"' .. about .. '","status":"' .. status .. '"}')
end

local function announce(status)
  publish(id, status)
end

local function is_live()
  local status = get('status')
  return status == 'queued' or status == 'running'
end

local function follows()
  return redis.call('HEXISTS', job, 'follows') == 1
end

-- The name of the job's work: the first job of it.
local function work()
  return get('shares') or id
end

local function followers()
  return redis.call('ZRANGE', records .. work() .. ':followers', 0, -1)
end

local function each_follower(act)
  for _, other in ipairs(followers()) do
    as(other, act)
  end
end

-- Who asks for a piece of work by its name means the job that leads it now.
local function to_leader()
  if is_live() and not follows() then
    return
  end
  local leader = redis.call('HGET', leaders, id)
  if leader then
    id, job = leader, records .. leader
  end
end

-- Expected audio is counted where the job is: queued_<priority>_ms, running_ms.
local function count(status, sign)
  local field
  if status == 'queued' then
    field = 'queued_' .. get('priority') .. '_ms'
  elseif status == 'running' then
    field = 'running_ms'
  else
    return
  end
  redis.call('HINCRBY', load, field, string.format('%d', sign * tonumber(get('estimate_ms')))) -- never "-0"
end

-- sent_at: when its message was sent; 0 has the next sweep send one.
local function enqueue(sent_at)
  redis.call('ZADD', queue[get('priority')], seconds(now), id)
  redis.call('ZADD', unclaimed, seconds(sent_at or now), id)
  redis.call('HSET', job, 'queued_at', seconds(now))
end

-- The only place where a status changes.
local function move(from, to)
  local leads = not follows()
  if leads then
    count(from, -1)
  end
  redis.call('HSET', job, 'status', to)
  redis.call('ZREM', with_status[from], id)
  redis.call('ZADD', with_status[to], get('created_at'), id)
  if not leads then
    return
  end
  count(to, 1)
  if from == 'queued' then
    redis.call('ZREM', queue[get('priority')], id)
    redis.call('ZREM', unclaimed, id)
  else
    redis.call('ZREM', leases, id)
    redis.call('HDEL', job, 'lease_until', 'took_over')
  end
end

-- Nobody joins its work, or finds it by the name of it.
local function lead_no_more()
  local flight = get('flight')
  if flight and redis.call('GET', inflight .. flight) == id then
    redis.call('DEL', inflight .. flight)
  end
  if redis.call('HGET', leaders, work()) == id then
    redis.call('HDEL', leaders, work())
  end
end

-- One job into an end state: kept for keep_s, then erased by the sweep; Redis forgets it in any case an hour later.
local function finish(from, to, keep_s)
  move(from, to)
  redis.call('HSET', job, 'finished_at', seconds(now))
  redis.call('ZADD', ended, seconds(now + keep_s), id)
  redis.call('EXPIRE', job, math.ceil(keep_s) + 3600)
  redis.call('EXPIRE', job .. ':items', math.ceil(keep_s) + 3600)
  if redis.call('HDEL', job, 'follows') == 1 then
    redis.call('ZREM', records .. work() .. ':followers', id)
  else
    lead_no_more()
  end
  if get('webhook_url') then
    redis.call('ZADD', webhooks, seconds(now), id)
  end
  announce(to)
end

-- The work ends: the leader, and with it whoever follows.  `fields`: what is written into each record.
local function finish_all(from, to, keep_s, fields)
  local function one()
    if #fields > 0 then
      redis.call('HSET', job, unpack(fields))
    end
    finish(from, to, keep_s)
  end
  each_follower(one)
  one()
  redis.call('EXPIRE', records .. work() .. ':sharers', math.ceil(keep_s) + 3600)
end

-- Followers whose own time is up do not wait for the leader's.
local function end_late_followers(keep_s)
  each_follower(function()
    local deadline_at = tonumber(get('deadline_at') or '')
    if deadline_at and deadline_at <= now then
      redis.call('HSET', job, 'error_code', 'deadline_exceeded',
        'error_detail', 'the deadline passed before it was done')
      finish(get('status'), 'failed', keep_s)
    end
  end)
end

-- The leader is about to leave: who asked next takes over what is under way.  Answers its id, or nil.
-- The caller ends the old leader afterwards.
local TAKEN_OVER = { 'text', 'attempts', 'token', 'progress', 'started_at', 'worker', 'worker_pid',
  'lease_until', 'done_at_crash', 'lost_at', 'joining_at', 'joining_alone' }
local function hand_over()
  local heir = followers()[1]
  if not heir then
    return nil
  end
  local status, name, flight, before = get('status'), work(), get('flight'), id
  local values = redis.call('HMGET', job, unpack(TAKEN_OVER))
  as(heir, function()
    redis.call('ZREM', records .. name .. ':followers', id)
    redis.call('HDEL', job, 'follows')
    for at, field in ipairs(TAKEN_OVER) do
      if values[at] then
        redis.call('HSET', job, field, values[at])
      end
    end
    if flight and redis.call('GET', inflight .. flight) == before then
      redis.call('SET', inflight .. flight, id)
    end
    redis.call('HSET', job, 'flight', flight or '')
    redis.call('HSET', leaders, name, id)
    each_follower(function() -- as urgent as whoever waits for it
      if get('priority') == 'interactive' then
        redis.call('HSET', records .. heir, 'priority', 'interactive')
      end
    end)
    count(status, 1)
    if status == 'queued' then
      enqueue(0)
    else
      redis.call('HSET', job, 'took_over', '1')
      redis.call('ZADD', leases, get('lease_until'), id)
    end
  end)
  return heir
end

-- Running → queued, with whoever follows.
local function put_back(sent_at)
  local function one()
    move('running', 'queued')
    redis.call('HDEL', job, 'worker', 'worker_pid')
    redis.call('HSET', job, 'progress', '{}')
  end
  each_follower(function()
    one()
    announce('queued')
  end)
  one()
  enqueue(sent_at)
  announce('queued')
end

-- Does this token hold the job?
local function held(token)
  return get('status') == 'running' and get('token') == token
end
