-- Reads events in order.
--
-- KEYS: events        ARGV: first seq, number at most
-- Replies {seq, epoch, event, seq, epoch, event, ...}, flat because that is cheap to read.

local entries = redis.call('XRANGE', KEYS[1], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2])
local flat = {}
for _, entry in ipairs(entries) do
  flat[#flat + 1] = string.match(entry[1], '^%d+')
  flat[#flat + 1] = entry[2][2]
  flat[#flat + 1] = entry[2][4]
end
return flat
