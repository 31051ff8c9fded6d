-- ARGV: 5 worker, 6 its process id, 7 lease in seconds, 8… the queues to look into, in order.
-- Answers the hash, or nothing.
for at = 8, #ARGV do
  local name = ARGV[at]
  local found = redis.call('ZRANGE', queue[name], 0, 0)
  while #found > 0 do
    local key = found[1]
    redis.call('ZREM', queue[name], key)
    if get(key, 'attempts') then
      redis.call('HINCRBY', record(key), 'attempts', 1)
      redis.call('HSET', record(key), 'status', 'running', 'token', redis.call('INCR', tokens),
        'worker', ARGV[5], 'worker_pid', ARGV[6], 'steps_done', 0, 'lease_until', seconds(now + ARGV[7]))
      redis.call('ZADD', leases, seconds(now + ARGV[7]), key)
      return redis.call('HGETALL', record(key))
    end
    found = redis.call('ZRANGE', queue[name], 0, 0)
  end
end
return {}
