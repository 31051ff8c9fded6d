-- ARGV: 5 voice.  Answers blobs to erase.
local erased = {}
for _, key in ipairs(redis.call('SMEMBERS', ARGV[4] .. ARGV[5])) do
  erased[#erased + 1] = drop(key)
end
return erased
