-- Put before every script on segments.  The order of KEYS is that of RedisSegmentStore._run.
-- ARGV: 1 now in seconds ('' asks the server's clock), 2 start of every segment's key, 3 start of every job's set,
-- 4 start of every voice's set, 5… the script's own.
local queue = { interactive = KEYS[1], batch = KEYS[2], suspects = KEYS[9] }
local leases, used, stats, tokens, channel, wanting = KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]

local now = clock(ARGV[1])

local function record(key)
  return ARGV[2] .. key
end

local function jobs_of(key)
  return ARGV[2] .. key .. ':jobs'
end

local function get(key, field)
  return redis.call('HGET', record(key), field)
end

local function tell(about, status)
  redis.call('PUBLISH', channel, '{"kind":"segment","id":"' .. about .. '","status":"' .. status .. '"}')
end

local function tell_jobs(key, status)
  for _, job in ipairs(redis.call('HKEYS', jobs_of(key))) do
    tell(job, status)
  end
end

local function is_wanted(key)
  return redis.call('EXISTS', jobs_of(key)) == 1
end

local function is_own(key)
  return string.sub(key, 1, 4) == 'own-'
end

local function held(key, token)
  local status, mine = unpack(redis.call('HMGET', record(key), 'status', 'token'))
  return status == 'running' and mine == token
end

local function touch(key)
  redis.call('HSET', record(key), 'used_at', seconds(now))
  if get(key, 'status') == 'done' then
    redis.call('ZADD', used, redis.call('HINCRBY', stats, 'uses', 1), key)
  end
end

local function enqueue(key)
  redis.call('HSET', record(key), 'status', 'queued')
  local is_suspect = get(key, 'attempts') ~= '0' -- a worker was lost with it
  redis.call('ZADD', queue[is_suspect and 'suspects' or get(key, 'priority')], get(key, 'wanted_at'), key)
end

-- Whatever it was, nothing of it stays.  Answers its blob, or ''.
local function drop(key)
  local status, blob, size, voice = unpack(redis.call('HMGET', record(key), 'status', 'blob', 'size_bytes', 'voice'))
  if status == 'done' then
    redis.call('HINCRBY', stats, 'bytes', -tonumber(size))
    redis.call('SREM', ARGV[4] .. voice, key)
  end
  redis.call('ZREM', used, key)
  redis.call('ZREM', leases, key)
  redis.call('ZREM', queue.interactive, key)
  redis.call('ZREM', queue.batch, key)
  redis.call('ZREM', queue.suspects, key)
  redis.call('DEL', record(key), jobs_of(key))
  return blob or ''
end

-- Running → queued, or gone when nobody wants it.  Answers 1 when it is queued.
local function put_back(key)
  redis.call('ZREM', leases, key)
  if not is_wanted(key) then
    drop(key)
    return 0
  end
  redis.call('HDEL', record(key), 'worker', 'worker_pid', 'lease_until')
  enqueue(key)
  return 1
end

-- quarantine_s: '' or for how long it stays failed whoever wants it.
local function end_failed(key, code, detail, quarantine_s)
  redis.call('ZREM', leases, key)
  redis.call('HDEL', record(key), 'lease_until')
  redis.call('HSET', record(key), 'status', 'failed', 'error_code', code, 'error_detail', detail)
  if quarantine_s ~= '' then
    redis.call('HSET', record(key), 'failed_until', seconds(now + quarantine_s))
  end
  tell_jobs(key, 'failed')
end
