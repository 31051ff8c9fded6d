-- Put before the preludes.  Times are in seconds, Unix.

-- '' asks the server's clock, the one that all hosts share.
local function clock(given)
  local known = tonumber(given)
  if known then
    return known
  end
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end

local function seconds(value)
  return string.format('%.6f', value)
end
