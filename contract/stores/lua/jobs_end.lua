-- ARGV: 4 token, 5 end state, 6 seconds to keep, 7… fields to write.  Answers 1, or 0 when the token is stale.
to_leader()
if not held(ARGV[4]) then
  if get('token') == ARGV[4] and get('status') == ARGV[5] then
    return 1 -- our own call, repeated
  end
  return 0
end
local keep_s = tonumber(ARGV[6])
local fields = { unpack(ARGV, 7) }
if ARGV[5] == 'failed' and fields[2] == 'deadline_exceeded' then
  -- A deadline is one job's own.  The others begin anew, under theirs.
  end_late_followers(keep_s)
  local deadline_at = tonumber(get('deadline_at') or '')
  local is_ours = not redis.call('HGET', job, 'took_over') or (deadline_at and deadline_at <= now)
  local heir = id
  if is_ours then
    heir = hand_over()
    redis.call('HSET', job, unpack(fields))
    finish('running', 'failed', keep_s)
  end
  if heir then
    as(heir, function()
      redis.call('HINCRBY', job, 'attempts', -1)
      put_back(0)
    end)
  end
  return 1
end
finish_all('running', ARGV[5], keep_s, fields)
return 1
