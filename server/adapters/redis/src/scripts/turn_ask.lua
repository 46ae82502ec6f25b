-- Asks for the turn at a queue. Who does not get it stands in line, where it has its place still.
--
-- KEYS[1]  whose turn it is; expires with the turn
-- KEYS[2]  the line: a sorted set of workers by when they came (microseconds)
-- ARGV     the worker, how long a turn lasts, how long the line is kept (both ms)
-- Returns  1 where the turn is the worker's, else 0.
local holder = redis.call('GET', KEYS[1])
if not holder then
  -- Nobody passed it on: there was none, or its time was up.
  holder = redis.call('ZRANGE', KEYS[2], 0, 0)[1] or ARGV[1]
  redis.call('SET', KEYS[1], holder, 'PX', ARGV[2])
  redis.call('ZREM', KEYS[2], holder)
  if holder == ARGV[1] then
    return 1
  end
elseif holder == ARGV[1] then
  -- It was passed on to the worker before it asked: its time begins now.
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return 1
end
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000000 + tonumber(time[2]))
redis.call('ZADD', KEYS[2], 'NX', now, ARGV[1])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return 0
