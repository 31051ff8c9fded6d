-- ARGV: 4 token, 5 end state, 6 seconds to keep, 7… fields to write.  Answers 1, or 0 when the token is stale.
if not held(ARGV[4]) then
  if get('token') == ARGV[4] and get('status') == ARGV[5] then
    return 1 -- our own call, repeated
  end
  return 0
end
if #ARGV > 6 then
  redis.call('HSET', job, unpack(ARGV, 7))
end
finish('running', ARGV[5], tonumber(ARGV[6]))
return 1
