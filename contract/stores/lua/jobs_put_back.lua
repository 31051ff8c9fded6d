-- ARGV: 4 token of a worker that drains, or '' for an expired lease; 5 most claims; 6 seconds to keep; 7 error code;
-- 8 error detail.  Answers the id of the job that was put back or ended, else ''.
to_leader()
if ARGV[4] ~= '' then
  if not held(ARGV[4]) then
    return ''
  end
  redis.call('HINCRBY', job, 'attempts', -1)
else
  local lease_until = redis.call('ZSCORE', leases, id)
  if not lease_until or tonumber(lease_until) > now then
    return ''
  end
  if redis.call('EXISTS', job) == 0 then
    redis.call('ZREM', leases, id)
    return ''
  end
  if get('cancel_requested') == '1' then
    finish_all('running', 'cancelled', tonumber(ARGV[6]), {})
    return id
  end
  local progress = cjson.decode(get('progress'))
  local done, before = progress.segments_done or 0, tonumber(get('done_at_crash') or 0)
  local joining_at, joining_alone = unpack(redis.call('HMGET', job, 'joining_at', 'joining_alone'))
  redis.call('HDEL', job, 'joining_at', 'joining_alone')
  if joining_at then
    if joining_alone == '0' then -- it or who ran beside it: it is alone there the next time
      redis.call('HSET', job, 'attempts', 1, 'lost_at', joining_at)
    end
  elseif (progress.segments_total or 0) > 1 and not progress.is_ending then -- it waited: for its segments, or for its turn
    redis.call('HINCRBY', job, 'attempts', -1)
  elseif done > before then -- it got on since the last crash: that one has nothing to do with this
    redis.call('HSET', job, 'attempts', 1, 'done_at_crash', done)
  end
  if tonumber(get('attempts')) >= tonumber(ARGV[5]) then
    finish_all('running', 'failed', tonumber(ARGV[6]), { 'error_code', ARGV[7], 'error_detail', ARGV[8] })
    return id
  end
end
put_back()
return id
