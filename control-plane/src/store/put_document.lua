-- Keeps a document under the next version, if the version is still the
-- expected one. KEYS: documents. ARGV: version field, body field, expected
-- version or nothing, body.
local held = redis.call('HGET', KEYS[1], ARGV[1]) or '0'
if ARGV[3] ~= '' and ARGV[3] ~= held then
  return { 0, tonumber(held) }
end
local version = redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('HSET', KEYS[1], ARGV[2], ARGV[4])
return { 1, version }
