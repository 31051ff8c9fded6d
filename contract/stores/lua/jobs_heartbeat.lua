-- ARGV: 4 token, 5 lease in seconds, 6 progress as JSON or ''.  Answers {alive, cancel requested}.
if not held(ARGV[4]) then
  return { 0, 0 }
end
redis.call('HSET', job, 'lease_until', seconds(now + ARGV[5]))
redis.call('ZADD', leases, seconds(now + ARGV[5]), id)
if ARGV[6] ~= '' then
  redis.call('HSET', job, 'progress', ARGV[6])
  announce('running')
end
return { 1, tonumber(get('cancel_requested')) }
