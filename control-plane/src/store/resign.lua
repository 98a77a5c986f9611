-- Gives a lease back, so that another replica need not wait for its end.
--
-- KEYS: lease        ARGV: replica, term
-- Replies 1 if it was theirs.

local lease = redis.call('GET', KEYS[1]) or ''
local mine = ARGV[2] .. ' ' .. ARGV[1] .. ' '
if string.sub(lease, 1, #mine) ~= mine then
  return 0
end
return redis.call('DEL', KEYS[1])
