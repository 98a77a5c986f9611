-- Renews a leader's lease, takes one that is free, or tells who holds it.
--
-- KEYS: lease, term, documents...        ARGV: replica, endpoint, its term or 0, ms that a lease lasts
-- Replies {leading term, replica, endpoint, changes of documents}, numbers as text. The lease is
-- "<term> <replica> <endpoint>"; the term outlives it, or a later leader could get the same.

local changes = 0
for i = 3, #KEYS do
  changes = changes + tonumber(redis.call('HGET', KEYS[i], 'version') or '0')
end
changes = string.format('%d', changes)

local lease = redis.call('GET', KEYS[1])
local newest = redis.call('GET', KEYS[2]) or '0'
local term, replica, endpoint = string.match(lease or '', '^(%d+) (%S+) (.*)$')
if replica and replica ~= ARGV[1] then
  return {term, replica, endpoint, changes}
end
-- A lease that ran out while nobody else led is as good as one that did not.
term = ARGV[3]
if term == '0' or term ~= newest then
  local time = redis.call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  term = string.format('%d', math.max(tonumber(newest) + 1, now))
  redis.call('SET', KEYS[2], term)
end
redis.call('SET', KEYS[1], term .. ' ' .. ARGV[1] .. ' ' .. ARGV[2], 'PX', ARGV[4])
return {term, ARGV[1], ARGV[2], changes}
