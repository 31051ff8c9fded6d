-- KEYS: 1 the voice, 2 all voices, 3 versions, 4 channel.  ARGV: 1 voice id, 2 now, 3 what: 'create' | 'replace' |
-- 'change' | 'delete', 4 version that must still be there or '', 5… fields to write.
-- Answers the hash as it then is (as it was, for a delete), or nothing.
local voice, voices, versions, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local id, now, what = ARGV[1], ARGV[2], ARGV[3]

local function announce(status)
  redis.call('PUBLISH', channel, '{"kind":"voice","id":"' .. id .. '","status":"' .. status .. '"}')
end

local version, created = unpack(redis.call('HMGET', voice, 'version', 'created_at'))
if what == 'create' and version then
  return {}
end
if what == 'create' or what == 'replace' then
  local new_version = redis.call('HINCRBY', versions, id, 1)
  redis.call('DEL', voice)
  redis.call('HSET', voice, unpack(ARGV, 5))
  redis.call('HSET', voice, 'version', new_version, 'created_at', created or now)
  redis.call('ZADD', voices, created or now, id)
else
  if not version or (ARGV[4] ~= '' and ARGV[4] ~= version) then
    return {}
  end
  if what == 'delete' then
    local record = redis.call('HGETALL', voice)
    redis.call('DEL', voice)
    redis.call('ZREM', voices, id)
    announce('deleted')
    return record
  end
  if ARGV[4] ~= '' then -- a preparation ended: what the last one said no longer holds
    redis.call('HDEL', voice, 'error_code', 'error_detail', 'losses')
  end
  if #ARGV > 4 then
    redis.call('HSET', voice, unpack(ARGV, 5))
  end
end
redis.call('HSET', voice, 'updated_at', now)
announce(redis.call('HGET', voice, 'status'))
return redis.call('HGETALL', voice)
