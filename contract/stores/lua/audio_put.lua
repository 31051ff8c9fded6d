-- ARGV: 6 data, 7 seconds to live, 8 most bytes, 9 voice, 10… fields of the hash.  Answers 1, or 0 when too large.
local size = #ARGV[6]
if size > tonumber(ARGV[8]) then
  return 0
end
drop_expired()
drop(id, '')
while tonumber(redis.call('HGET', stats, 'bytes') or 0) + size > tonumber(ARGV[8]) do
  local oldest = redis.call('ZRANGE', used, 0, 0)
  if #oldest == 0 then
    redis.call('HSET', stats, 'bytes', 0) -- somebody erased the index by hand
    break
  end
  drop(oldest[1], 'evictions')
end
local ttl = math.ceil(tonumber(ARGV[7]))
redis.call('SET', data_key(id), ARGV[6], 'EX', ttl)
redis.call('HSET', about_key(id), 'created', string.format('%.3f', now), unpack(ARGV, 10))
redis.call('EXPIRE', about_key(id), ttl)
redis.call('HSET', sizes, id, size)
redis.call('ZADD', expiry, now + tonumber(ARGV[7]), id)
redis.call('SADD', ARGV[5] .. ARGV[9], id)
redis.call('HINCRBY', stats, 'bytes', size)
touch(id)
return 1
