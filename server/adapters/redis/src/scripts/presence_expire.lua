-- Takes users out whose last lease has not been renewed since it was seen to end. Their leases
-- expire by themselves.
--
-- KEYS[1]  the bucket's ends
-- KEYS[2]  the bucket's claims
-- ARGV     each user and the end that was seen (ms)
-- Returns  the users who are offline by it.
local left = {}
for n = 1, #ARGV, 2 do
  local last = redis.call('ZSCORE', KEYS[1], ARGV[n])
  if last and tonumber(last) == tonumber(ARGV[n + 1]) then
    redis.call('ZREM', KEYS[1], ARGV[n])
    redis.call('ZREM', KEYS[2], ARGV[n])
    left[#left + 1] = ARGV[n]
  end
end
return left
