-- Puts back events that the room once had: all of them, or none.
--
-- KEYS: meta, events        ARGV: epoch, generation, expected seq, {epoch, event}...
-- Replies {word, number, owner}.
--
-- As in an append, everything is compared first and the first write alone can fail. There is no
-- guard: the times of these events lie in the past.

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'seq', 'now', 'generation')
if not meta[1] then
  return {'fenced', 0, ''}
end
if meta[1] ~= ARGV[1] then
  return {'fenced', tonumber(meta[1]), meta[2]}
end
-- A room without events has no history whose name could be mistaken.
if meta[3] ~= ARGV[3] or (meta[5] ~= ARGV[2] and meta[3] ~= '0') then
  return {'conflict', tonumber(meta[3]), ''}
end

local time = redis.call('TIME')
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(meta[4]))
local seq = tonumber(ARGV[3])
for i = 4, #ARGV, 2 do
  seq = seq + 1
  local added = redis.pcall('XADD', KEYS[2], string.format('%d-0', seq), 'e', ARGV[i], 'd', ARGV[i + 1])
  if type(added) == 'table' and added.err then
    return added
  end
end
redis.call('HSET', KEYS[1], 'seq', string.format('%d', seq), 'now', string.format('%d', now),
  'generation', ARGV[2])
return {'stored', now, ''}
