-- Forgets a key.
--
-- KEYS[1]  the key
-- Returns  how many there were.
return redis.call('DEL', KEYS[1])
