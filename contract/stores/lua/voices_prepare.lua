-- Who prepares which voice, and what comes of it when that process is lost.
-- KEYS: 1 the voice, 2 preparations under way, 3 channel.  ARGV: 1 voice id, 2 now, 3 what, 4 worker, 5 its process id,
-- 6… its own.
--   begin: 6 version, 7 suspects too '1'|'0', 8 most losses.  Answers 1, or 0.
--   end:   answers 1, or 0 when nobody knew of it.
--   bury:  (voice id '') answers how many that process had begun.
--   lost:  6 most losses, 7 error code, 8 error detail.  Answers the voice's hash, or nothing.
local voice, under_way, channel = KEYS[1], KEYS[2], KEYS[3]
local id, now, what = ARGV[1], ARGV[2], ARGV[3]
local by = ' ' .. ARGV[4] .. ' ' .. ARGV[5]

if what == 'bury' then
  local count = 0
  local found = redis.call('HGETALL', under_way)
  for at = 1, #found, 2 do
    if string.sub(found[at], -#by) == by then
      redis.call('HSET', under_way, found[at], (string.gsub(found[at + 1], ' buried', '')) .. ' buried')
      count = count + 1
    end
  end
  return count
end

if what == 'end' then
  return redis.call('HDEL', under_way, id .. by)
end

local status, version, losses = unpack(redis.call('HMGET', voice, 'status', 'version', 'losses'))
losses = tonumber(losses or 0)

if what == 'begin' then
  if status ~= 'preparing' or version ~= ARGV[6] or (losses > 0 and ARGV[7] ~= '1') then
    return 0
  end
  for _, other in ipairs(redis.call('HKEYS', under_way)) do -- each of them may turn out to be lost
    if string.sub(other, 1, #id + 1) == id .. ' ' and other ~= id .. by then
      losses = losses + 1
    end
  end
  if losses >= tonumber(ARGV[8]) then
    return 0
  end
  redis.call('HSET', under_way, id .. by, version)
  return 1
end

local begun = redis.call('HGET', under_way, id .. by)
redis.call('HDEL', under_way, id .. by)
if not begun or status ~= 'preparing' or string.match(begun, '^%d+') ~= version then
  return {}
end
losses = redis.call('HINCRBY', voice, 'losses', 1)
if losses >= tonumber(ARGV[6]) then
  redis.call('HSET', voice, 'status', 'failed', 'error_code', ARGV[7], 'error_detail', ARGV[8], 'updated_at', now)
  redis.call('PUBLISH', channel, '{"kind":"voice","id":"' .. id .. '","status":"failed"}')
end
return redis.call('HGETALL', voice)
