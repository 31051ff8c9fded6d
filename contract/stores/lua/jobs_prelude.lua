-- Put before every script on jobs.  The order of KEYS is that of RedisJobStore._keys.
-- ARGV: 1 job id, 2 now in seconds ('' asks the server's clock), 3 start of every inflight key, 4… the script's own.
local job, all, tokens, leases, load, unclaimed, ended, channel =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]
local with_status = {
  queued = KEYS[9], running = KEYS[10], done = KEYS[11], failed = KEYS[12], cancelled = KEYS[13],
}
local webhooks = KEYS[17] -- 16 is the script's own
local queue = { interactive = KEYS[14], batch = KEYS[15] }
local id, inflight = ARGV[1], ARGV[3]

local now = tonumber(ARGV[2])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end

local function seconds(value)
  return string.format('%.6f', value)
end

local function get(field)
  return redis.call('HGET', job, field)
end

local function announce(status)
  redis.call('PUBLISH', channel, '{"kind":"job","id":"' .. id .. '","status":"' .. status .. '"}')
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

local function enqueue()
  redis.call('ZADD', queue[get('priority')], seconds(now), id)
  redis.call('ZADD', unclaimed, seconds(now), id)
  redis.call('HSET', job, 'queued_at', seconds(now))
end

-- The only place where a status changes.
local function move(from, to)
  count(from, -1)
  redis.call('HSET', job, 'status', to)
  count(to, 1)
  redis.call('ZREM', with_status[from], id)
  redis.call('ZADD', with_status[to], get('created_at'), id)
  if from == 'queued' then
    redis.call('ZREM', queue[get('priority')], id)
    redis.call('ZREM', unclaimed, id)
  else
    redis.call('ZREM', leases, id)
    redis.call('HDEL', job, 'lease_until')
  end
end

-- Into an end state: kept for keep_s, then erased by the sweep; Redis forgets it in any case an hour later.
local function finish(from, to, keep_s)
  move(from, to)
  redis.call('HSET', job, 'finished_at', seconds(now))
  redis.call('ZADD', ended, seconds(now + keep_s), id)
  redis.call('EXPIRE', job, math.ceil(keep_s) + 3600)
  local fingerprint = get('fingerprint')
  if fingerprint and redis.call('GET', inflight .. fingerprint) == id then
    redis.call('DEL', inflight .. fingerprint)
  end
  if get('webhook_url') then
    redis.call('ZADD', webhooks, seconds(now), id)
  end
  announce(to)
end

-- Does this token hold the job?
local function held(token)
  return get('status') == 'running' and get('token') == token
end
