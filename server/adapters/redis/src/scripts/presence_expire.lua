-- Takes the users out whose last lease has ended, some at a time. Their leases expire by
-- themselves.
--
-- KEYS[1]  the bucket's ends
-- ARGV     now (ms), how many at most
-- Returns  the users.
local left = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', 0, ARGV[2])
if #left > 0 then
  redis.call('ZREM', KEYS[1], unpack(left))
end
return left
