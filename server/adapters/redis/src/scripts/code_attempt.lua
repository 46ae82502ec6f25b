-- Presents a code. A right one is accepted once; a wrong one costs a try.
--
-- The digests are HMACs under a key that Redis does not know, so that how long their comparison
-- takes tells nobody anything about a code; Lua compares interned strings by address besides.
--
-- KEYS[1]  the address's present code
-- ARGV     digest, now (ms)
-- Returns  how many tries are left after a wrong one; -1 no code, -2 expired, -3 accepted.
local code = redis.call('HMGET', KEYS[1], 'digest', 'expires', 'tries', 'forget', 'used')
local now = tonumber(ARGV[2])
if not code[1] or code[5] or now >= tonumber(code[4]) then
  return -1
end
if tonumber(code[3]) <= 0 or now >= tonumber(code[2]) then
  return -2
end
if code[1] == ARGV[1] then
  redis.call('HSET', KEYS[1], 'used', '1')
  return -3
end
return redis.call('HINCRBY', KEYS[1], 'tries', -1)
