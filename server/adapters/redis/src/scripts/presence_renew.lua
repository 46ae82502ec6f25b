-- Makes or renews leases of some users of one bucket.
--
-- KEYS[1]   the bucket's ends: a sorted set of users by the end of their last lease
-- KEYS[2]   the bucket's claims: a sorted set of users whose end somebody looks at
-- KEYS[3]   the bucket's epoch: when its data began
-- KEYS[4…]  each user's leases: a sorted set of connections by their end
-- ARGV      now, end (of the leases), before which end a user is offline whoever says so, how long
--           the bucket is kept without renewal (ms); then for each user: the user, how many
--           connections, the connections
-- Returns   the epoch, then the users who were offline before.
local now, ends, gone = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local epoch = redis.call('GET', KEYS[3])
if not epoch then
  epoch = table.concat(redis.call('TIME'), '.')
  redis.call('SET', KEYS[3], epoch)
end
local answer = { epoch }
local at = 5
for key = 4, #KEYS do
  local user, count = ARGV[at], tonumber(ARGV[at + 1])
  local last = redis.call('ZSCORE', KEYS[1], user)
  if not last or tonumber(last) <= gone then
    redis.call('DEL', KEYS[key])
    answer[#answer + 1] = user
  else
    redis.call('ZREMRANGEBYSCORE', KEYS[key], '-inf', ARGV[1])
  end
  for n = at + 2, at + 1 + count do
    redis.call('ZADD', KEYS[key], ends, ARGV[n])
  end
  at = at + 2 + count
  last = redis.call('ZREVRANGE', KEYS[key], 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', KEYS[1], last, user)
  redis.call('ZREM', KEYS[2], user)
  redis.call('PEXPIRE', KEYS[key], string.format('%.0f', tonumber(last) - now + 60000))
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PEXPIRE', KEYS[3], ARGV[4])
return answer
