-- ARGV: 4 worker, 5 lease in seconds, 6 suspects too '1'|'0', 7 its process id, 8 seconds to keep.
-- Answers the hash, or nothing when the job is not to be had.
to_leader()
if get('status') ~= 'queued' or follows() or (ARGV[6] == '0' and get('attempts') ~= '0') then
  return {}
end
end_late_followers(tonumber(ARGV[8]))
local token = redis.call('INCR', tokens)
local attempts = redis.call('HINCRBY', job, 'attempts', 1)
local function one()
  move('queued', 'running')
  redis.call('HSET', job, 'token', token, 'worker', ARGV[4], 'started_at', seconds(now), 'progress', '{}',
    'attempts', attempts)
end
each_follower(function()
  one()
  announce('running')
end)
one()
redis.call('HSET', job, 'worker_pid', ARGV[7], 'lease_until', seconds(now + ARGV[5]))
redis.call('ZADD', leases, seconds(now + ARGV[5]), id)
announce('running')
return redis.call('HGETALL', job)
