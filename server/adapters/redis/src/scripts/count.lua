-- Counts more.
--
-- KEYS[1]  the counter
-- ARGV     how many, for how long it is remembered from now on (ms)
-- Returns  the count.
local count = redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return count
