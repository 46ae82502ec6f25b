-- Makes or renews leases of some users of one bucket.
--
-- KEYS[1]   the bucket's ends: a sorted set of users by the end of their last lease
-- KEYS[2…]  each user's leases: a sorted set of connections by their end
-- ARGV      now, end (of the leases), how long the bucket is kept without renewal (ms); then for
--           each user: the user, how many connections, the connections
-- Returns   the users who were offline before.
local now, ends = tonumber(ARGV[1]), ARGV[2]
local came = {}
local at = 4
for key = 2, #KEYS do
  local user, count = ARGV[at], tonumber(ARGV[at + 1])
  local last = redis.call('ZSCORE', KEYS[1], user)
  if not last or tonumber(last) <= now then
    -- Whoever asks sees them offline already, also where no sweep has said so.
    redis.call('DEL', KEYS[key])
    came[#came + 1] = user
  else
    redis.call('ZREMRANGEBYSCORE', KEYS[key], '-inf', ARGV[1])
  end
  for n = at + 2, at + 1 + count do
    redis.call('ZADD', KEYS[key], ends, ARGV[n])
  end
  at = at + 2 + count
  last = redis.call('ZREVRANGE', KEYS[key], 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', KEYS[1], last, user)
  redis.call('PEXPIRE', KEYS[key], string.format('%.0f', tonumber(last) - now + 60000))
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return came
