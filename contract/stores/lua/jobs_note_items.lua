-- ARGV: 4 token, 5… index and state of each.  Answers 1, or 0 when the token is stale.
if not held(ARGV[4]) then
  return 0
end
redis.call('HSET', job .. ':items', unpack(ARGV, 5))
announce('running')
return 1
