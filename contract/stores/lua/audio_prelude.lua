-- Put before every script on the audio cache.  The order of KEYS is that of RedisAudioCache._keys.
-- ARGV: 1 fingerprint, 2 now in seconds ('' asks the server's clock), 3 start of every entry's key, 4 its `about` ending, 5 start of every
-- voice's set, 6… the script's own.
local used, expiry, sizes, stats = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, now = ARGV[1], clock(ARGV[2])

local function data_key(fingerprint)
  return ARGV[3] .. fingerprint
end

local function about_key(fingerprint)
  return ARGV[3] .. fingerprint .. ARGV[4]
end

-- Bytes held are the sum of `sizes`; kept in stats.bytes with every change.
local function drop(fingerprint, reason)
  local size = redis.call('HGET', sizes, fingerprint)
  if not size then
    return 0
  end
  local voice = redis.call('HGET', about_key(fingerprint), 'voice')
  if voice then
    redis.call('SREM', ARGV[5] .. voice, fingerprint)
  end
  redis.call('DEL', data_key(fingerprint), about_key(fingerprint))
  redis.call('HDEL', sizes, fingerprint)
  redis.call('ZREM', used, fingerprint)
  redis.call('ZREM', expiry, fingerprint)
  redis.call('HINCRBY', stats, 'bytes', -tonumber(size))
  if reason ~= '' then
    redis.call('HINCRBY', stats, reason, 1)
  end
  return 1
end

local function touch(fingerprint)
  redis.call('ZADD', used, redis.call('HINCRBY', stats, 'uses', 1), fingerprint)
end

-- Entries past their time, a few per call so that no call is slow.
local function drop_expired()
  for _, old in ipairs(redis.call('ZRANGEBYSCORE', expiry, '-inf', now, 'LIMIT', 0, 100)) do
    drop(old, 'expired')
  end
end
