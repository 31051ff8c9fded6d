-- Answers {data, hash} and counts a hit, or nothing and counts a miss.
drop_expired()
local data = redis.call('GET', data_key(id))
if not data or redis.call('EXISTS', about_key(id)) == 0 then
  drop(id, 'evictions') -- the server's own policy took it: forget its bytes
  redis.call('HINCRBY', stats, 'misses', 1)
  return {}
end
redis.call('HINCRBY', stats, 'hits', 1)
redis.call('HINCRBY', about_key(id), 'hits', 1)
touch(id)
return { data, redis.call('HGETALL', about_key(id)) }
