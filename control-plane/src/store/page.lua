-- Reads a part of the rooms, each with its owner as of the same moment.
--
-- KEYS: rooms, owners        ARGV: cursor, about how many
-- Replies {next cursor, room, rules, owner, room, rules, owner, ...}; the cursor is 0 at the end,
-- and a room may come twice while rooms are added.

local scanned = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local flat = {scanned[1]}
for i = 1, #scanned[2], 2 do
  local room = scanned[2][i]
  flat[#flat + 1] = room
  flat[#flat + 1] = scanned[2][i + 1]
  flat[#flat + 1] = redis.call('HGET', KEYS[2], room) or '0 '
end
return flat
