-- Answers {data, hash}, or nothing.  Writes nothing, so that no answer waits for a disk: uses are counted afterwards
-- (audio_used.lua).
local until_s = redis.call('ZSCORE', expiry, id)
if not until_s or tonumber(until_s) <= now then
  return {}
end
local data = redis.call('GET', data_key(id))
local about = redis.call('HGETALL', about_key(id))
if not data or #about == 0 then
  return {}
end
return { data, about }
