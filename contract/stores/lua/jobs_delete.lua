-- Answers the hash of the ended job that was erased, or nothing.  KEYS[16]: its chunks.
-- The count of callers who wanted it goes, too.
local status = get('status')
if status == 'queued' or status == 'running' then
  return {}
end
local record = redis.call('HGETALL', job)
redis.call('DEL', job, job .. ':waiters', KEYS[16])
redis.call('ZREM', all, id)
redis.call('ZREM', ended, id)
for _, key in pairs(with_status) do
  redis.call('ZREM', key, id)
end
if #record > 0 then
  announce('deleted')
end
return record
