-- ARGV: 4 token, 5 lease in seconds, 6 progress as JSON or '', 7 seconds to keep.  Answers {alive, cancel requested}.
to_leader()
if not held(ARGV[4]) then
  return { 0, 0 }
end
redis.call('HSET', job, 'lease_until', seconds(now + ARGV[5]))
redis.call('ZADD', leases, seconds(now + ARGV[5]), id)
end_late_followers(tonumber(ARGV[7]))
if ARGV[6] ~= '' then
  local function one()
    redis.call('HSET', job, 'progress', ARGV[6])
    announce('running')
  end
  one()
  each_follower(one)
end
return { 1, tonumber(get('cancel_requested')) }
