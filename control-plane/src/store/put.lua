-- Replaces a document.
--
-- KEYS: document, term        ARGV: expected version or '', body, the writer's term
-- Replies {word, version or newest term}.

local newest = redis.call('GET', KEYS[2]) or '0'
if tonumber(newest) > tonumber(ARGV[3]) then
  return {'fenced', newest}
end
local held = redis.call('HGET', KEYS[1], 'version') or '0'
if ARGV[1] ~= '' and ARGV[1] ~= held then
  return {'conflict', held}
end
local version = string.format('%d', tonumber(held) + 1)
redis.call('HSET', KEYS[1], 'version', version, 'body', ARGV[2])
return {'done', version}
