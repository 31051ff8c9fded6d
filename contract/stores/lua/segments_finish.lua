-- ARGV: 5 key, 6 token, 7 blob, 8 bytes, 9 about as JSON.  Answers 1, or 0 when the token is stale.
local key = ARGV[5]
if not held(key, ARGV[6]) then
  local status, token = unpack(redis.call('HMGET', record(key), 'status', 'token'))
  return (status == 'done' and token == ARGV[6]) and 1 or 0 -- our own call, repeated
end
if is_own(key) and not is_wanted(key) then
  drop(key)
  return 0
end
redis.call('ZREM', leases, key)
redis.call('HDEL', record(key), 'lease_until')
redis.call('HSET', record(key), 'status', 'done', 'blob', ARGV[7], 'size_bytes', ARGV[8], 'about', ARGV[9])
redis.call('HINCRBY', stats, 'bytes', ARGV[8])
redis.call('HINCRBY', stats, 'rendered', 1)
redis.call('SADD', ARGV[4] .. get(key, 'voice'), key)
touch(key)
tell_jobs(key, 'done')
return 1
