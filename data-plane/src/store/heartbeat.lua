-- Notes that a run of a node is there.
--
-- KEYS: heartbeat        ARGV: incarnation, milliseconds until it is forgotten
-- Replies the time. Of the run before, the last sign is kept for those who claim its rooms.

local held = redis.call('HMGET', KEYS[1], 'incarnation', 'last')
local time = redis.call('TIME')
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(held[2] or 0))
local text = string.format('%d', now)
local asked = tonumber(ARGV[1])
local current = tonumber(held[1] or 0)
if asked > current then
  redis.call('HSET', KEYS[1], 'incarnation', ARGV[1], 'first', text, 'last', text, 'before', held[2] or '0')
elseif asked == current then
  redis.call('HSET', KEYS[1], 'last', text)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return now
