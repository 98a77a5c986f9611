-- Takes one bid of a user: at most so many in any window, by exact times.
--
-- KEYS: log        ARGV: number at most, window in milliseconds
-- Replies -1 if taken, else the milliseconds until the next one can be.
--
-- The log is a sorted set, member = time and a number that tells bids of one millisecond apart.
-- Adding and setting the expiry are one step, so no log is ever left without one.

local max = tonumber(ARGV[1])
local window = tonumber(ARGV[2])
if max == 0 then
  return window
end

local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000)
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0)[1]
local now, number = wall, 0
if newest then
  local at, last = string.match(newest, '^(%d+)-(%d+)$')
  now = math.max(wall, tonumber(at))
  if now == tonumber(at) then
    number = tonumber(last) + 1
  end
end

local first = string.format('(%d', now - window)
local taken = redis.call('ZCOUNT', KEYS[1], first, '+inf')
if taken >= max then
  local blocking = redis.call('ZRANGEBYSCORE', KEYS[1], first, '+inf', 'WITHSCORES', 'LIMIT', taken - max, 1)
  return tonumber(blocking[2]) + window - now
end

redis.call('ZADD', KEYS[1], now, string.format('%d-%09d', now, number))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now - window))
redis.call('PEXPIRE', KEYS[1], now - wall + window)
return -1
