-- Gives a room to an owner under a new epoch.
--
-- KEYS: rooms, owners, term        ARGV: room, expected epoch, owner or '', epoch, the writer's term
-- Replies {word, epoch or newest term}, as text because Lua rounds large numbers.

local newest = redis.call('GET', KEYS[3]) or '0'
if tonumber(newest) > tonumber(ARGV[5]) then
  return {'fenced', newest}
end
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return {'unknown', '0'}
end
local wanted = ARGV[4] .. ' ' .. ARGV[3]
local stored = redis.call('HGET', KEYS[2], ARGV[1]) or '0 '
if stored == wanted then
  return {'done', ARGV[4]}
end
local held = string.match(stored, '^%d+')
if held ~= ARGV[2] or tonumber(ARGV[4]) <= tonumber(held) then
  return {'conflict', held}
end
redis.call('HSET', KEYS[2], ARGV[1], wanted)
return {'done', ARGV[4]}
