-- Makes a code the address's code, unless another was issued too short a time ago.
--
-- KEYS[1]  the address's present code: a hash
-- KEYS[2]  the code that it replaced, which is back when the present one is withdrawn
-- ARGV     id, digest, issued at, expires at, tries, forget at, resend after, expiry (all ms)
-- Returns  0 where it was issued, else for how long none will be.
local issued = redis.call('HGET', KEYS[1], 'issued')
if issued then
  -- An earlier code from the future (clocks differ) counts as one of this moment.
  local since = math.max(0, tonumber(ARGV[3]) - tonumber(issued))
  local wait = tonumber(ARGV[7]) - since
  if wait > 0 then
    return wait
  end
  redis.call('RENAME', KEYS[1], KEYS[2])
else
  redis.call('DEL', KEYS[2])
end
redis.call('HSET', KEYS[1], 'id', ARGV[1], 'digest', ARGV[2], 'issued', ARGV[3],
  'expires', ARGV[4], 'tries', ARGV[5], 'forget', ARGV[6])
redis.call('PEXPIRE', KEYS[1], ARGV[8])
return 0
