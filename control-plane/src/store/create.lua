-- Keeps a room that is not there yet.
--
-- KEYS: rooms, term        ARGV: room, rules, the writer's term
-- Replies {word, newest term}.

local newest = redis.call('GET', KEYS[2]) or '0'
if tonumber(newest) > tonumber(ARGV[3]) then
  return {'fenced', newest}
end
local new = redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1
return {new and 'done' or 'exists', newest}
