-- ARGV: 6 voice.  Answers how many entries were erased.
drop_expired()
local set = ARGV[5] .. ARGV[6]
local count = 0
for _, fingerprint in ipairs(redis.call('SMEMBERS', set)) do
  count = count + drop(fingerprint, '')
end
redis.call('DEL', set)
return count
