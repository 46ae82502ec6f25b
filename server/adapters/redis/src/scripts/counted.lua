-- Reads a counter.
--
-- KEYS[1]  the counter
-- Returns  the count.
return tonumber(redis.call('GET', KEYS[1]) or 0)
