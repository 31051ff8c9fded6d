-- ARGV: 4 seconds since the message was last sent, 5 most ids.  Marks them as sent now and answers their ids.
local due = redis.call('ZRANGEBYSCORE', unclaimed, '-inf', seconds(now - ARGV[4]), 'LIMIT', 0, ARGV[5])
for _, member in ipairs(due) do
  redis.call('ZADD', unclaimed, seconds(now), member)
end
return due
