-- ARGV: 4 worker, 5 lease in seconds, 6 suspects too '1'|'0', 7 its process id.  Answers the hash, or nothing when the job is not to be had.
if get('status') ~= 'queued' or (ARGV[6] == '0' and get('attempts') ~= '0') then
  return {}
end
move('queued', 'running')
local token = redis.call('INCR', tokens)
redis.call('HINCRBY', job, 'attempts', 1)
redis.call('HSET', job, 'token', token, 'worker', ARGV[4], 'worker_pid', ARGV[7], 'started_at', seconds(now),
  'lease_until', seconds(now + ARGV[5]), 'progress', '{}')
redis.call('ZADD', leases, seconds(now + ARGV[5]), id)
announce('running')
return redis.call('HGETALL', job)
