-- Erases the least recently used hundred, so that no call is slow.  Answers how many; call again until 0.
local count = 0
for _, fingerprint in ipairs(redis.call('ZRANGE', used, 0, 99)) do
  count = count + drop(fingerprint, '')
  redis.call('ZREM', used, fingerprint) -- also one whose size is gone
end
return count
