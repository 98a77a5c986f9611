-- Reads what a room is apart from its events, in one moment.
--
-- KEYS: meta, snapshot
-- Replies {now, generation, epoch, owner, seq, snapshot seq, snapshot}; without a room or a
-- snapshot, zeros and empty strings.

local meta = redis.call('HMGET', KEYS[1], 'generation', 'epoch', 'owner', 'seq', 'now')
local snapshot = redis.call('HMGET', KEYS[2], 'seq', 'data')
local time = redis.call('TIME')
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(meta[5] or 0))
return {
  now,
  tonumber(meta[1] or 0),
  tonumber(meta[2] or 0),
  meta[3] or '',
  tonumber(meta[4] or 0),
  tonumber(snapshot[1] or 0),
  snapshot[2] or '',
}
