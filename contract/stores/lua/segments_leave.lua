-- ARGV: 5 job, 6 most segments a call.  Answers {left over, blobs to erase…}.
local job = ARGV[5]
local mine = ARGV[3] .. job
local erased = {}
for _, key in ipairs(redis.call('SRANDMEMBER', mine, ARGV[6])) do
  redis.call('SREM', mine, key)
  redis.call('HDEL', jobs_of(key), job)
  local status, failed_until = unpack(redis.call('HMGET', record(key), 'status', 'failed_until'))
  if is_wanted(key) then
    local other = redis.call('HGETALL', jobs_of(key))
    redis.call('HSET', record(key), 'job_id', other[1], 'index', other[2])
  elseif status == 'running' then
    tell(key, 'unwanted')
  elseif status == 'failed' and tonumber(failed_until or 0) > now then
    redis.call('EXPIRE', record(key), math.ceil(tonumber(failed_until) - now))
  elseif status ~= 'done' or is_own(key) then
    local blob = drop(key)
    if blob ~= '' then
      erased[#erased + 1] = blob
    end
  end
end
local left = redis.call('SCARD', mine)
if left == 0 then
  redis.call('SREM', wanting, job)
end
return { left, unpack(erased) }
