-- Answers {entries, hash of counts}.
drop_expired()
return { redis.call('HLEN', sizes), redis.call('HGETALL', stats) }
