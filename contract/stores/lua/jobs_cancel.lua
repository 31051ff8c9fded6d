-- ARGV: 4 seconds to keep.  A job that waits ends at once; one that runs is told by its next heartbeat.
local status = get('status')
if status == 'queued' then
  redis.call('HSET', job, 'cancel_requested', '1')
  finish('queued', 'cancelled', tonumber(ARGV[4]))
elseif status == 'running' then
  redis.call('HSET', job, 'cancel_requested', '1')
  announce('cancelling')
end
return status
