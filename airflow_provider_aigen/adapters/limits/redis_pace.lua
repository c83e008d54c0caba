-- SPDX-License-Identifier: Apache-2.0
-- One conversation of a task with the limiter that it shares. Everything happens on Redis's own time, in microseconds.
--
-- KEYS[1] hash: the grid's next slot, the last slot's number, the pace, the pause, the epoch
-- KEYS[2] sorted set: the slots to come and those of the last two windows, by the time at which their calls start
-- KEYS[3] sorted set: the tasks, by when they were last heard of
--
-- An epoch ends when a pause begins or grows: slots of an earlier one that have not been used are void, and nobody has
-- to be told before it asks. `slowed` is the epoch that began with the last halving of the pace.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ask = cjson.decode(ARGV[1])

local stored = redis.call('HMGET', KEYS[1], 'next', 'slot', 'share', 'paused_until', 'epoch', 'slowed', 'keep', 'seen')
local next_at = tonumber(stored[1] or 0)
local slot = tonumber(stored[2] or 0)
local share = tonumber(stored[3] or 1)
local paused_until = tonumber(stored[4] or 0)
local epoch = tonumber(stored[5] or 0)
local slowed = tonumber(stored[6] or 0)
local keep = math.max(tonumber(stored[7] or 0), 2 * ask.window)
local seen = tonumber(stored[8] or now)

if now < seen - 1000000 then
  -- The clock was set back, or a replica with another one took over: nothing stored says when anything happened.
  paused_until = now + math.max(0, paused_until - seen)
  next_at = now + ask.window
  epoch = epoch + 1
  redis.call('DEL', KEYS[2], KEYS[3])
end

for _, late in ipairs(ask.late) do
  redis.call('ZADD', KEYS[2], 'XX', late[2], late[1])
end

if ask.slowed == slowed then
  for _ = 1, ask.succeeded do
    share = math.min(1, share + math.min(ask.largest_step, 1 / (ask.recovery_s * ask.limit * share)))
  end
end

if ask.pause then
  local until_then = now + ask.pause
  local began_after = ask.began_in and ask.began_in >= slowed or not ask.began_in and now >= paused_until
  if began_after or until_then > paused_until then
    epoch = epoch + 1
    next_at = now
    redis.call('ZREMRANGEBYSCORE', KEYS[2], now + ask.news, '+inf')
  end
  if began_after then
    share = math.max(ask.floor, share / 2)
    slowed = epoch
  end
  paused_until = math.max(paused_until, until_then)
end

if ask.returning and next_at < now - ask.idle then
  -- The first to come back after a loss of Redis: others still go by their own shares until they notice.
  next_at = now + ask.hold
end

local function place(number, at)
  -- A window after the start `calls` places before it, and not before `at`, which is later than all that are placed.
  local nth = redis.call('ZREVRANGE', KEYS[2], ask.calls - 1, ask.calls - 1, 'WITHSCORES')
  at = math.ceil(math.max(at, nth[2] and nth[2] + ask.window or 0))
  redis.call('ZADD', KEYS[2], at, number)
  return at
end

local function confirm(number)
  -- Given long ago: of those that start a window before it some were late, perhaps.
  local due = math.max(now, tonumber(redis.call('ZSCORE', KEYS[2], number) or now))
  redis.call('ZADD', KEYS[2], due, number)
  local rank = redis.call('ZREVRANK', KEYS[2], number) + ask.calls
  local nth = redis.call('ZREVRANGE', KEYS[2], rank, rank, 'WITHSCORES')
  if not nth[2] or nth[2] + ask.window <= due then
    return due
  end
  -- It moves, and those behind it as well, in order. They will ask, but for those that start without asking again.
  redis.call('ZREM', KEYS[2], number)
  local asking = string.format('(%.0f', now + ask.news)
  local behind = redis.call('ZRANGEBYSCORE', KEYS[2], asking, '+inf', 'WITHSCORES')
  redis.call('ZREMRANGEBYSCORE', KEYS[2], asking, '+inf')
  due = place(number, due)
  for i = 1, #behind, 2 do
    place(behind[i], tonumber(behind[i + 1]))
  end
  return due
end

local slots = {}
for _, held in ipairs(ask.confirm) do
  if held[2] == epoch then
    slots[#slots + 1] = held[1]
    slots[#slots + 1] = confirm(held[1])
  end
end
for _ = 1, ask.slots do
  if next_at < now - ask.catch_up then
    next_at = next_at < now - ask.idle and now or now - ask.catch_up
  end
  slot = slot + 1
  local at = place(slot, math.max(now, next_at, paused_until))
  next_at = math.max(next_at, at - ask.catch_up) + 1000000 / (ask.used * ask.limit * share)
  slots[#slots + 1] = slot
  slots[#slots + 1] = at
end

redis.call('HSET', KEYS[1], 'next', next_at, 'slot', slot, 'share', share, 'paused_until', paused_until,
  'epoch', epoch, 'slowed', slowed, 'keep', keep, 'seen', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - keep)
redis.call('ZADD', KEYS[3], now, ask.task)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - ask.forget)
local ttl_ms = math.ceil((math.max(0, paused_until - now, next_at - now) + ask.window + ask.forget) / 1000)
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ttl_ms)
end

-- A Lua number becomes a whole one on its way out.
return { now, epoch, slowed, math.floor(share * 1000000), paused_until, redis.call('ZCARD', KEYS[3]), slots }
