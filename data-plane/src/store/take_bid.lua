-- Takes one bid of a user: at most so many in any window, by exact times, and none twice.
--
-- KEYS: log        ARGV: number at most, window in milliseconds, the bid's name or nothing
-- Replies -1 if taken, -2 if this bid was taken before, else the milliseconds until the next one
-- can be.
--
-- The log is a sorted set of bids by time. A bid without a name gets that of its time and its
-- number among the bids of that millisecond. Adding and setting the expiry are one step, so no log
-- is ever left without one.

local max = tonumber(ARGV[1])
local window = tonumber(ARGV[2])
local name = ARGV[3]
if max == 0 then
  return window
end

local time = redis.call('TIME')
local wall = time[1] * 1000 + math.floor(time[2] / 1000)
local newest = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
local now = math.max(wall, tonumber(newest or 0))

if name == '' then
  name = string.format('%d-%d', now, redis.call('ZCOUNT', KEYS[1], now, now))
else
  local at = redis.call('ZSCORE', KEYS[1], name)
  if at and tonumber(at) > now - window then
    return -2
  end
end

local first = string.format('(%d', now - window)
local taken = redis.call('ZCOUNT', KEYS[1], first, '+inf')
if taken >= max then
  local blocking = redis.call('ZRANGEBYSCORE', KEYS[1], first, '+inf', 'WITHSCORES', 'LIMIT', taken - max, 1)
  return tonumber(blocking[2]) + window - now
end

redis.call('ZADD', KEYS[1], now, name)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%d', now - window))
redis.call('PEXPIRE', KEYS[1], now - wall + window)
return -1
