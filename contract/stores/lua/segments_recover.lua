-- ARGV: 5 most claims, 6 most segments a call, 7 error code, 8 detail, 9 seconds of quarantine,
-- 10 buried leases only '1'|'0'.
-- Answers {keys queued again, keys given up}.
local requeued, given_up = {}, {}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', ARGV[10] == '1' and 0 or seconds(now), 'LIMIT', 0, ARGV[6])) do
  local attempts = get(key, 'attempts')
  if not attempts then
    redis.call('ZREM', leases, key)
  elseif is_wanted(key) and tonumber(attempts) >= tonumber(ARGV[5]) then
    end_failed(key, ARGV[7], ARGV[8], ARGV[9])
    given_up[#given_up + 1] = key
  elseif put_back(key) == 1 then
    requeued[#requeued + 1] = key
  end
end
if #requeued > 0 then
  tell('', 'queued')
end
return { requeued, given_up }
