-- GCRA: the key holds the "theoretical arrival time" (tat), the instant at which the burst is
-- whole again. All times in microseconds; doubles hold them exactly until the year 2255.
--
-- KEYS[1]  the rule's counter of one key
-- ARGV     now, interval (of one event), period (of the whole burst), margin of the expiry (ms)
-- Returns  0 where it may happen and has been counted, else for how long it may not.
local now = tonumber(ARGV[1])
local interval = tonumber(ARGV[2])
local period = tonumber(ARGV[3])

local tat = tonumber(redis.call('GET', KEYS[1]) or now)
-- A clock that was set back, or a rule that was made stricter, locks nobody out for longer than
-- a period.
tat = math.min(math.max(tat, now), now + period)

local wait = tat + interval - period - now
if wait > 0 then
  return math.ceil(wait)
end
tat = tat + interval
local expiry = math.ceil((tat - now) / 1000) + tonumber(ARGV[4])
redis.call('SET', KEYS[1], string.format('%.0f', tat), 'PX', string.format('%.0f', expiry))
return 0
