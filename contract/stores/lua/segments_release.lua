-- ARGV: 5 key, 6 token.  Answers 1, or 0 when the token is stale.
local key = ARGV[5]
if not held(key, ARGV[6]) then
  return 0
end
redis.call('HINCRBY', record(key), 'attempts', -1)
if put_back(key) == 1 then
  tell('', 'queued')
end
return 1
