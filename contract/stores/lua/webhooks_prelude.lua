-- Put before every script on webhooks.  KEYS: 1 due, 2 attempts.  ARGV: 1 now in seconds ('' asks the server), 2… own.
local due, attempts = KEYS[1], KEYS[2]

local now = tonumber(ARGV[1])
if not now then
  local t = redis.call('TIME')
  now = tonumber(t[1]) + tonumber(t[2]) / 1000000
end

local function due_in(id, seconds)
  redis.call('ZADD', due, string.format('%.6f', now + seconds), id)
end
