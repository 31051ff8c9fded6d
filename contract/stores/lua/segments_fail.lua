-- ARGV: 5 key, 6 token, 7 error code, 8 detail.  Answers 1, or 0 when the token is stale.
local key = ARGV[5]
if not held(key, ARGV[6]) then
  local status, token = unpack(redis.call('HMGET', record(key), 'status', 'token'))
  return (status == 'failed' and token == ARGV[6]) and 1 or 0
end
end_failed(key, ARGV[7], ARGV[8], '')
return 1
