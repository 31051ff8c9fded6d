-- ARGV: 5 worker, 6 its process id.  Leases of a process that has ended run out at once.  Answers how many.
local count = 0
for _, key in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
  local worker, pid = unpack(redis.call('HMGET', record(key), 'worker', 'worker_pid'))
  if worker == ARGV[5] and pid == ARGV[6] then
    redis.call('ZADD', leases, 0, key)
    redis.call('HSET', record(key), 'lease_until', seconds(0))
    count = count + 1
  end
end
return count
