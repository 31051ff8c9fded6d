-- A queued job that nobody was told of goes as if it had never been.  Answers 1, or 0 when somebody knows it.
if get('status') ~= 'queued' or get('told') or follows() then
  return 0
end
hand_over()
move('queued', 'cancelled')
local flight = get('flight')
if flight and redis.call('GET', inflight .. flight) == id then
  redis.call('DEL', inflight .. flight)
end
if redis.call('HGET', leaders, work()) == id then
  redis.call('HDEL', leaders, work())
end
erase()
return 1
