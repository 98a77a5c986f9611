-- Replaces a document.
--
-- KEYS: document        ARGV: expected version or '', body
-- Replies {word, version}.

local held = redis.call('HGET', KEYS[1], 'version') or '0'
if ARGV[1] ~= '' and ARGV[1] ~= held then
  return {'conflict', held}
end
local version = string.format('%d', tonumber(held) + 1)
redis.call('HSET', KEYS[1], 'version', version, 'body', ARGV[2])
return {'done', version}
