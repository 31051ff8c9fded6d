-- ARGV: 4 seconds since the message was sent, 5 most jobs of each queue.  Their messages may be lost: the next sweep
-- sends others.  Answers how many.
local count = 0
for _, waiting in pairs(queue) do
  for _, member in ipairs(redis.call('ZRANGE', waiting, 0, tonumber(ARGV[5]) - 1)) do
    local sent_at = tonumber(redis.call('ZSCORE', unclaimed, member) or 0)
    if sent_at > 0 and sent_at <= now - tonumber(ARGV[4]) then
      redis.call('ZADD', unclaimed, 0, member)
      count = count + 1
    end
  end
end
return count
