-- Opens a challenge with its code.
--
-- KEYS[1]  the challenge: a hash
-- ARGV     digest, expires at, tries, expiry (all ms)
-- Returns  0.
redis.call('HSET', KEYS[1], 'digest', ARGV[1], 'expires', ARGV[2], 'tries', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 0
