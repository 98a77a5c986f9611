-- Keeps an entry of the audit log under the next number.
--
-- KEYS: log, newest        ARGV: body, how many to keep
-- Replies the number.

local id = string.format('%d', redis.call('INCR', KEYS[2]))
redis.call('ZADD', KEYS[1], id, id .. ' ' .. ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - tonumber(ARGV[2]))
return id
