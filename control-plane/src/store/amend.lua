-- Replaces an entry of the audit log that is still kept.
--
-- KEYS: log        ARGV: number, body
-- Replies how many were replaced.

local kept = redis.call('ZREMRANGEBYSCORE', KEYS[1], ARGV[1], ARGV[1])
if kept > 0 then
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[1] .. ' ' .. ARGV[2])
end
return kept
