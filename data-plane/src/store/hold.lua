-- Notes how many places of something counted a run of a node holds: as many of those it wants as
-- there are.
--
-- KEYS: places        ARGV: run, held already, wanted, number at most, milliseconds until a note
-- that nobody repeats is void, {run that is gone, when it was noted last}...
-- Replies {held now, held by others, time}, and where that is not all that was wanted, each other
-- run and when it was noted last.
--
-- The places are a hash of runs, each with its number and the time of its note. Noting and setting
-- the expiry are one step, so nothing is ever left without one.

local void = tonumber(ARGV[5])
for i = 6, #ARGV, 2 do
  local note = redis.call('HGET', KEYS[1], ARGV[i])
  -- One that was repeated meanwhile is alive.
  if note and string.match(note, ' (%d+)$') == ARGV[i + 1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local notes = redis.call('HGETALL', KEYS[1])
local others = 0
local told = {}
for i = 1, #notes, 2 do
  local run = notes[i]
  if run ~= ARGV[1] then
    local count, at = string.match(notes[i + 1], '^(%d+) (%d+)$')
    if not at or tonumber(at) + void <= now then
      redis.call('HDEL', KEYS[1], run)
    else
      others = others + tonumber(count)
      told[#told + 1] = run
      told[#told + 1] = at
    end
  end
end

local least = tonumber(ARGV[2])
local most = tonumber(ARGV[3])
local mine = math.min(most, math.max(least, tonumber(ARGV[4]) - others))
if mine == 0 then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %d', mine, now))
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if mine == most then
  return {mine, others, now, {}}
end
return {mine, others, now, told}
