-- Counts one more.
--
-- KEYS[1]  the counter
-- ARGV     for how long it is remembered from now on (ms)
-- Returns  the count.
local count = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return count
