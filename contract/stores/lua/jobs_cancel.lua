-- ARGV: 4 seconds to keep.  A job that waits, or that others follow, ends at once; one that runs for itself alone is told
-- by its worker's next heartbeat.
local status = get('status')
if not is_live() then
  return status
end
redis.call('HSET', job, 'cancel_requested', '1')
if follows() or status == 'queued' then
  if not follows() then
    hand_over()
  end
  finish(status, 'cancelled', tonumber(ARGV[4]))
elseif hand_over() then
  finish(status, 'cancelled', tonumber(ARGV[4]))
else
  announce('cancelling')
  if work() ~= id then
    publish(work(), 'cancelling') -- the worker knows the work by its name
  end
end
return status
