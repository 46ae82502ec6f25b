-- GCRA: the key holds the "theoretical arrival time" (tat), the instant at which the burst is
-- whole again. All times in microseconds; doubles hold them exactly until the year 2255.
--
-- KEYS[1]  the rule's counter of one key
-- ARGV     now, interval (of one event), period (of the whole burst), margin of the expiry (ms),
--          how many events
-- Returns  For how long they may not happen, above 0. Where they may and have been counted: how many
--          more may happen now, below 0 or 0.
local now = tonumber(ARGV[1])
local interval = tonumber(ARGV[2])
local period = tonumber(ARGV[3])

local tat = tonumber(redis.call('GET', KEYS[1]) or now)
-- A clock that was set back, or a rule that was made stricter, locks nobody out for longer than
-- a period.
tat = math.min(math.max(tat, now), now + period)

local till = tat + math.min(interval * tonumber(ARGV[5]), period)
local wait = till - period - now
if wait > 0 then
  return math.ceil(wait)
end
local expiry = math.ceil((till - now) / 1000) + tonumber(ARGV[4])
redis.call('SET', KEYS[1], string.format('%.0f', till), 'PX', string.format('%.0f', expiry))
return -math.floor((now + period - till) / interval)
