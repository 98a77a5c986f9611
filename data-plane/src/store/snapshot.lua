-- Keeps a snapshot if it is of use, and drops events far behind it.
--
-- KEYS: meta, snapshot, events        ARGV: epoch, seq, snapshot, first seq to keep
-- Replies 1 if it was kept.

local meta = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local held = redis.call('HGET', KEYS[2], 'seq')
local seq = tonumber(ARGV[2])
if meta[1] ~= ARGV[1] or tonumber(meta[2]) < seq or (held and tonumber(held) >= seq) then
  return 0
end
redis.call('HSET', KEYS[2], 'seq', ARGV[2], 'data', ARGV[3])
redis.call('XTRIM', KEYS[3], 'MINID', '~', ARGV[4] .. '-0')
return 1
