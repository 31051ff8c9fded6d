-- ARGV: 5 worker, 6 lease in seconds, 7 batch too '1'|'0', 8 suspects too '1'|'0', 9 the worker's process id.
-- Answers the hash, or nothing.
local SEEN = 50 -- suspects at the head of a queue that are passed over
for _, priority in ipairs({ 'interactive', 'batch' }) do
  if priority == 'interactive' or ARGV[7] == '1' then
    for _, key in ipairs(redis.call('ZRANGE', queue[priority], 0, SEEN)) do
      local attempts = get(key, 'attempts')
      if not attempts then
        redis.call('ZREM', queue[priority], key)
      elseif ARGV[8] == '1' or attempts == '0' then
        redis.call('ZREM', queue[priority], key)
        redis.call('HINCRBY', record(key), 'attempts', 1)
        redis.call('HSET', record(key), 'status', 'running', 'token', redis.call('INCR', tokens),
          'worker', ARGV[5], 'worker_pid', ARGV[9], 'steps_done', 0, 'lease_until', seconds(now + ARGV[6]))
        redis.call('ZADD', leases, seconds(now + ARGV[6]), key)
        return redis.call('HGETALL', record(key))
      end
    end
  end
end
return {}
