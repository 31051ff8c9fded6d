-- Put before every script on webhooks.  KEYS: 1 due, 2 attempts.  ARGV: 1 now in seconds ('' asks the server), 2… own.
local due, attempts = KEYS[1], KEYS[2]

local now = clock(ARGV[1])

local function due_in(id, wait_s)
  redis.call('ZADD', due, seconds(now + wait_s), id)
end
