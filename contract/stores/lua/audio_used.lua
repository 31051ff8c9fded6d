-- ARGV: 6… for each look, in order: '1' where it was a hit, '0' where not; fingerprint.
drop_expired()
for at = 6, #ARGV, 2 do
  local found = ARGV[at + 1]
  redis.call('HINCRBY', stats, ARGV[at] == '1' and 'hits' or 'misses', 1)
  if redis.call('EXISTS', data_key(found), about_key(found)) < 2 then
    drop(found, 'evictions') -- the server's own policy took it: forget its bytes
  elseif ARGV[at] == '1' then
    redis.call('HINCRBY', about_key(found), 'hits', 1)
    touch(found)
  end
end
