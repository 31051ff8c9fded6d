-- ARGV: 2 seconds of the lease, 3 most attempts.  Answers pairs of job and attempt.
local claimed = {}
local ids = redis.call('ZRANGEBYSCORE', due, '-inf', string.format('%.6f', now), 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  due_in(id, tonumber(ARGV[2]))
  table.insert(claimed, { id, redis.call('HINCRBY', attempts, id, 1) })
end
return claimed
