-- Lets a lease end earlier. Makes none and prolongs none.
--
-- KEYS[1]  the bucket's ends
-- KEYS[2]  the user's leases
-- ARGV     the user, the connection, the new end (ms)
local lease = redis.call('ZSCORE', KEYS[2], ARGV[2])
if lease and tonumber(ARGV[3]) < tonumber(lease) then
  redis.call('ZADD', KEYS[2], ARGV[3], ARGV[2])
  local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
  -- A user who has left stays so.
  redis.call('ZADD', KEYS[1], 'XX', last, ARGV[1])
end
return 0
