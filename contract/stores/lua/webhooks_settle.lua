-- ARGV: 2 job, 3 attempt, 4 seconds until the next or '' for none.  Answers 1, or 0 when the attempt is not the last.
local id = ARGV[2]
if redis.call('HGET', attempts, id) ~= ARGV[3] then
  return 0
end
if ARGV[4] == '' then
  redis.call('ZREM', due, id)
  redis.call('HDEL', attempts, id)
else
  due_in(id, tonumber(ARGV[4]))
end
return 1
