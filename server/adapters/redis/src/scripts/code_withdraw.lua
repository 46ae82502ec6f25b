-- Takes the present code back; the one that it replaced is the code again.
--
-- KEYS[1]  the address's present code
-- KEYS[2]  the code that it replaced
-- ARGV     id
if redis.call('HGET', KEYS[1], 'id') == ARGV[1] then
  if redis.call('EXISTS', KEYS[2]) == 1 then
    redis.call('RENAME', KEYS[2], KEYS[1])
  else
    redis.call('DEL', KEYS[1])
  end
end
return 0
