-- ARGV: 6 when the entry that the caller holds was created, or ''.  Answers {data, hash}, {'', hash} where that is the one
-- it has, or nothing.  Writes nothing, so that no answer waits for a disk: uses are counted afterwards
-- (audio_used.lua).
local until_s = redis.call('ZSCORE', expiry, id)
if not until_s or tonumber(until_s) <= now then
  return {}
end
local about = redis.call('HGETALL', about_key(id))
if ARGV[6] ~= '' and redis.call('HGET', about_key(id), 'created') == ARGV[6] then
  return redis.call('EXISTS', data_key(id)) == 1 and { '', about } or {}
end
local data = redis.call('GET', data_key(id))
if not data or #about == 0 then
  return {}
end
return { data, about }
