-- Put before the scripts that erase a record.  KEYS[16]: its chunks.  Its files are the work's, and go with the last record.
local function erase()
  local record = redis.call('HGETALL', job)
  local sharers = records .. work() .. ':sharers'
  local is_shared = redis.call('EXISTS', sharers) == 1
  redis.call('DEL', job, job .. ':items')
  if is_shared then
    redis.call('SREM', sharers, id)
  else
    redis.call('DEL', KEYS[16])
  end
  redis.call('ZREM', all, id)
  redis.call('ZREM', ended, id)
  for _, key in pairs(with_status) do
    redis.call('ZREM', key, id)
  end
  if #record > 0 then
    announce('deleted')
  end
  return record
end
