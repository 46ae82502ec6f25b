-- Takes back one event that `limit` has counted. Times as there.
--
-- KEYS[1]  the rule's counter of one key
-- ARGV     now, interval (of one event)
-- Returns  0.
local tat = tonumber(redis.call('GET', KEYS[1]) or 0)
if tat > tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], string.format('%.0f', tat - tonumber(ARGV[2])), 'KEEPTTL')
end
return 0
