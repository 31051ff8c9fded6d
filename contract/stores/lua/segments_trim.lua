-- ARGV: 5 most bytes, 6 seconds unused, 7 most segments a call.  Answers blobs to erase.
local erased = {}
local bytes = tonumber(redis.call('HGET', stats, 'bytes') or 0)
for _, key in ipairs(redis.call('ZRANGE', used, 0, -1)) do
  local used_at, size = unpack(redis.call('HMGET', record(key), 'used_at', 'size_bytes'))
  if #erased >= tonumber(ARGV[7]) or (used_at and bytes <= tonumber(ARGV[5])
      and tonumber(used_at) > now - ARGV[6]) then
    break
  end
  if not used_at then
    redis.call('ZREM', used, key)
  elseif not is_wanted(key) then
    bytes = bytes - tonumber(size)
    erased[#erased + 1] = drop(key)
  end
end
return erased
