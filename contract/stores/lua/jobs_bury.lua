-- ARGV: 4 worker, 5 its process id.  Leases of a process that has ended run out at once.  Answers how many.
local count = 0
for _, held in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
  local record = job .. held -- this script's own id is ''
  local worker, pid = unpack(redis.call('HMGET', record, 'worker', 'worker_pid'))
  if worker == ARGV[4] and pid == ARGV[5] then
    redis.call('ZADD', leases, 0, held)
    redis.call('HSET', record, 'lease_until', seconds(0))
    count = count + 1
  end
end
return count
