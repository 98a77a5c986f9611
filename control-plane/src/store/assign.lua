-- Keeps who owns a room, if its epoch is still the expected one.
-- KEYS: rules, owners. ARGV: room, expected epoch, epoch, owner.
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return { 'unknown', 0 }
end
local held = redis.call('HGET', KEYS[2], ARGV[1])
local epoch = held and string.match(held, '^%d+') or '0'
if epoch ~= ARGV[2] then
  return { 'conflict', tonumber(epoch) }
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3] .. ' ' .. ARGV[4])
return { 'done', 0 }
