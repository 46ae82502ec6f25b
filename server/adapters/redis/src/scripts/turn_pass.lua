-- Ends a worker's turn and gives it to the first in line, or takes the worker out of the line.
--
-- KEYS[1]  whose turn it is; expires with the turn
-- KEYS[2]  the line: a sorted set of workers by when they came
-- ARGV     the worker, how long the next one's turn lasts (ms)
-- Returns  1 where others have the turn or wait for it, else 0.
redis.call('ZREM', KEYS[2], ARGV[1])
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 1
end
local next = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
if next then
  redis.call('ZREM', KEYS[2], next)
  redis.call('SET', KEYS[1], next, 'PX', ARGV[2])
  return 1
end
redis.call('DEL', KEYS[1])
return 0
