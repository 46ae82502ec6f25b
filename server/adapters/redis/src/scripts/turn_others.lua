-- Says whether any other worker has the turn at a queue or waits for it.
--
-- KEYS[1]  whose turn it is
-- KEYS[2]  the line
-- ARGV     the worker
-- Returns  1 or 0.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return 1
end
local first = redis.call('ZRANGE', KEYS[2], 0, 1)
for _, worker in ipairs(first) do
  if worker ~= ARGV[1] then
    return 1
  end
end
return 0
