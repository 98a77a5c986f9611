-- Appends events to a room: all of them, or none.
--
-- KEYS: meta, events        ARGV: epoch, expected seq, not before or '', not after or '', event...
-- Replies {word, number, owner}.
--
-- Redis does not roll back what a failing script has done. So everything is compared first, and
-- the first write is the XADD, which alone can fail: its explicit id makes Redis itself refuse a
-- seq it has already seen, and after one XADD has passed, nothing that follows is refused.

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'owner', 'seq', 'now')
if not meta[1] then
  return {'fenced', 0, ''}
end
if meta[1] ~= ARGV[1] then
  return {'fenced', tonumber(meta[1]), meta[2]}
end
if meta[3] ~= ARGV[2] then
  return {'conflict', tonumber(meta[3]), ''}
end

local time = redis.call('TIME')
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(meta[4]))
if ARGV[3] ~= '' and now < tonumber(ARGV[3]) then
  return {'early', now, ''}
end
if ARGV[4] ~= '' and now >= tonumber(ARGV[4]) then
  return {'late', now, ''}
end

local seq = tonumber(ARGV[2])
for i = 5, #ARGV do
  seq = seq + 1
  local added = redis.pcall('XADD', KEYS[2], string.format('%d-0', seq), 'e', ARGV[1], 'd', ARGV[i])
  if type(added) == 'table' and added.err then
    return added
  end
end
redis.call('HSET', KEYS[1], 'seq', string.format('%d', seq), 'now', string.format('%d', now))
return {'stored', now, ''}
