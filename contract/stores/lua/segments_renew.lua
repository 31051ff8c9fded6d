-- ARGV: 5 lease in seconds, then for each: key, token, steps done.  Answers the keys to stop.
local stop = {}
for at = 6, #ARGV, 3 do
  local key, token = ARGV[at], ARGV[at + 1]
  if not held(key, token) then
    stop[#stop + 1] = key
  else
    if not is_wanted(key) then
      stop[#stop + 1] = key
    end
    redis.call('HSET', record(key), 'steps_done', ARGV[at + 2], 'lease_until', seconds(now + ARGV[5]))
    redis.call('ZADD', leases, seconds(now + ARGV[5]), key)
  end
end
return stop
