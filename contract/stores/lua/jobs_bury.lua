-- ARGV: 4 worker, 5 its process id, 6… of what it was joining: work, place, alone '1'|'0'.
-- Leases of a process that has ended run out at once.  Answers how many.
local joining = {}
for at = 6, #ARGV, 3 do
  joining[ARGV[at]] = { ARGV[at + 1], ARGV[at + 2] }
end
local count = 0
for _, held in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
  local record = job .. held -- this script's own id is ''
  local worker, pid = unpack(redis.call('HMGET', record, 'worker', 'worker_pid'))
  if worker == ARGV[4] and pid == ARGV[5] then
    redis.call('ZADD', leases, 0, held)
    redis.call('HSET', record, 'lease_until', seconds(0))
    local joined = joining[redis.call('HGET', record, 'shares') or held]
    if joined then
      redis.call('HSET', record, 'joining_at', joined[1], 'joining_alone', joined[2])
    end
    count = count + 1
  end
end
return count
