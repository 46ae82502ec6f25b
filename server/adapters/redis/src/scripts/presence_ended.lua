-- Claims users whose last lease has ended, and whom nobody else has claimed.
--
-- KEYS[1]  the bucket's ends: a sorted set of users by the end of their last lease
-- KEYS[2]  the bucket's claims: a sorted set of users by the end of the claim
-- KEYS[3]  the bucket's epoch: when its data began
-- ARGV     now, end (of the claims), how many of those that have ended to pass over, how many to
--          look at at most, how long a new epoch is kept (ms)
-- Returns  the epoch, how many were looked at, then each claimed user and the end of their lease.
local now = tonumber(ARGV[1])
local epoch = redis.call('GET', KEYS[3])
if not epoch then
  epoch = table.concat(redis.call('TIME'), '.')
  redis.call('SET', KEYS[3], epoch, 'PX', ARGV[5])
end
local found = redis.call('ZRANGE', KEYS[1], '-inf', ARGV[1], 'BYSCORE', 'LIMIT', ARGV[3], ARGV[4],
  'WITHSCORES')
local answer = { epoch, tostring(#found / 2) }
if #found == 0 then
  return answer
end
local users = {}
for n = 1, #found, 2 do
  users[#users + 1] = found[n]
end
local claims = redis.call('ZMSCORE', KEYS[2], unpack(users))
for n, user in ipairs(users) do
  if not claims[n] or tonumber(claims[n]) <= now then
    redis.call('ZADD', KEYS[2], ARGV[2], user)
    answer[#answer + 1] = user
    answer[#answer + 1] = found[2 * n]
  end
end
redis.call('PEXPIRE', KEYS[2], string.format('%.0f', tonumber(ARGV[2]) - now + 60000))
return answer
