-- Gives a room's history another name, if it still has this one and the epoch is the room's.
--
-- KEYS: meta        ARGV: epoch, generation
-- Replies the name it has now.

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'generation')
local held = tonumber(meta[2] or 0)
if meta[1] == ARGV[1] and meta[2] == ARGV[2] then
  held = held + 1
  redis.call('HSET', KEYS[1], 'generation', string.format('%d', held))
end
return held
