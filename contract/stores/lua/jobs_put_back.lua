-- ARGV: 4 token of a worker that drains, or '' for an expired lease; 5 most claims; 6 seconds to keep; 7 error code;
-- 8 error detail.  Answers 1 when the job was put back or ended, else 0.
if ARGV[4] ~= '' then
  if not held(ARGV[4]) then
    return 0
  end
  redis.call('HINCRBY', job, 'attempts', -1)
else
  local lease_until = redis.call('ZSCORE', leases, id)
  if not lease_until or tonumber(lease_until) > now then
    return 0
  end
  if redis.call('EXISTS', job) == 0 then
    redis.call('ZREM', leases, id)
    return 0
  end
  if get('cancel_requested') == '1' then
    finish('running', 'cancelled', tonumber(ARGV[6]))
    return 1
  end
  local done, before = cjson.decode(get('progress')).segments_done or 0, tonumber(get('done_at_crash') or 0)
  if done > before then -- it got on since the last crash: that one has nothing to do with this
    redis.call('HSET', job, 'attempts', 1, 'done_at_crash', done)
  end
  if tonumber(get('attempts')) >= tonumber(ARGV[5]) then
    redis.call('HSET', job, 'error_code', ARGV[7], 'error_detail', ARGV[8])
    finish('running', 'failed', tonumber(ARGV[6]))
    return 1
  end
end
move('running', 'queued')
redis.call('HDEL', job, 'worker', 'worker_pid')
redis.call('HSET', job, 'progress', '{}')
enqueue()
announce('queued')
return 1
