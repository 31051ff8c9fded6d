-- ARGV: 5 job, 6 priority, then for each segment: key, index, seconds until it is wanted, voice.
-- Answers the hash of each, as it then is.
local job, priority = ARGV[5], ARGV[6]
local found, is_new = {}, false
for at = 7, #ARGV, 4 do
  local key, index, wanted_at, voice = ARGV[at], ARGV[at + 1], seconds(now + ARGV[at + 2]), ARGV[at + 3]
  local status, failed_until = unpack(redis.call('HMGET', record(key), 'status', 'failed_until'))
  if status == 'failed' and tonumber(failed_until or 0) <= now then
    redis.call('DEL', record(key))
    status = false
  end
  if not status then
    redis.call('HSET', record(key), 'key', key, 'job_id', job, 'index', index, 'priority', priority,
      'attempts', 0, 'token', 0, 'voice', voice, 'wanted_at', wanted_at)
    redis.call('PERSIST', record(key))
    enqueue(key)
    is_new = true
  elseif status == 'queued' then
    is_new = true
    local before = get(key, 'priority')
    if priority == 'interactive' and before ~= priority then
      redis.call('ZREM', queue[before], key)
      redis.call('HSET', record(key), 'priority', priority)
    end
    if tonumber(wanted_at) < tonumber(get(key, 'wanted_at')) then
      redis.call('HSET', record(key), 'wanted_at', wanted_at)
    end
    enqueue(key)
  end
  touch(key)
  redis.call('HSET', jobs_of(key), job, index)
  redis.call('SADD', ARGV[3] .. job, key)
  found[#found + 1] = redis.call('HGETALL', record(key))
end
redis.call('SADD', wanting, job)
if is_new then
  tell('', 'queued')
end
return found
