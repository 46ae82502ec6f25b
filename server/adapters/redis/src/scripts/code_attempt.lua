-- Presents a code. A right one is accepted once; a wrong one costs a try.
--
-- The digests are HMACs under a key that Redis does not know, so that how long their comparison
-- takes tells nobody anything about a code; Lua compares interned strings by address besides.
--
-- KEYS[1]  the challenge
-- ARGV     digest, now (ms)
-- Returns  how many tries are left after a wrong one; -1 the challenge is not open, -2 accepted.
local code = redis.call('HMGET', KEYS[1], 'digest', 'expires', 'tries')
if not code[1] or tonumber(code[3]) <= 0 or tonumber(ARGV[2]) >= tonumber(code[2]) then
  return -1
end
if code[1] == ARGV[1] then
  redis.call('DEL', KEYS[1])
  return -2
end
return redis.call('HINCRBY', KEYS[1], 'tries', -1)
