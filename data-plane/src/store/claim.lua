-- Raises a room's fence.
--
-- KEYS: meta        ARGV: epoch, owner
-- Replies {word, epoch, owner, claimed, now}: of a fence what holds it, of a claim the owner
-- before, when it claimed the room, and when it last appended.

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'claimed', 'now')
local time = redis.call('TIME')
local now = string.format('%d', time[1] * 1000 + math.floor(time[2] / 1000))
if not meta[1] then
  -- A history is named by its beginning, so one that starts over after a loss has another name.
  redis.call('HSET', KEYS[1], 'generation', now, 'epoch', ARGV[1], 'owner', ARGV[2], 'seq', '0',
    'now', now, 'claimed', now)
  return {'claimed', tonumber(ARGV[1]), '', 0, 0}
end
local held = tonumber(meta[1])
local asked = tonumber(ARGV[1])
if asked < held or (asked == held and meta[2] ~= ARGV[2]) then
  return {'fenced', held, meta[2], 0, 0}
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'owner', ARGV[2], 'claimed', now)
return {'claimed', asked, meta[2], tonumber(meta[3] or 0), tonumber(meta[4] or 0)}
