-- SPDX-License-Identifier: Apache-2.0
-- One request that a task makes of the pace that it shares. All times are on Redis's own clock, in microseconds.
--
-- KEYS[1] hash: the grid's next slot, the last slot's number, the pace, the pause, the epoch
-- KEYS[2] sorted set: the slots to come and those of the last two windows, by the time at which their calls start
-- KEYS[3] sorted set: the tasks, by the time of their last request
--
-- An epoch ends when a pause begins or grows. Slots of an earlier epoch that have not been used are void; a task learns
-- that with its next request. `slowed` is the epoch that began with the last halving of the pace.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local request = cjson.decode(ARGV[1])

local stored = redis.call('HMGET', KEYS[1], 'next', 'slot', 'share', 'paused_until', 'epoch', 'slowed', 'keep', 'seen')
local next_at = tonumber(stored[1] or 0)
local slot = tonumber(stored[2] or 0)
local share = tonumber(stored[3] or 1)
local paused_until = tonumber(stored[4] or 0)
local epoch = tonumber(stored[5] or 0)
local slowed = tonumber(stored[6] or 0)
local keep = math.max(tonumber(stored[7] or 0), 2 * request.window)
local seen = tonumber(stored[8] or now)

if now < seen - 1000000 then
  -- The clock was set back, or a replica with another clock took over: no stored time says when anything happened.
  paused_until = now + math.max(0, paused_until - seen)
  next_at = now + request.window
  epoch = epoch + 1
  redis.call('DEL', KEYS[2], KEYS[3])
end

for _, late in ipairs(request.late) do
  redis.call('ZADD', KEYS[2], 'XX', late[2], late[1])
end

if request.slowed == slowed then
  for _ = 1, request.succeeded do
    share = math.min(1, share + math.min(request.largest_step, 1 / (request.recovery_s * request.limit * share)))
  end
end

if request.pause then
  local until_then = now + request.pause
  local began_after = request.began_in and request.began_in >= slowed or not request.began_in and now >= paused_until
  if began_after or until_then > paused_until then
    epoch = epoch + 1
    next_at = now
    redis.call('ZREMRANGEBYSCORE', KEYS[2], now + request.fresh, '+inf')
  end
  if began_after then
    share = math.max(request.floor, share / 2)
    slowed = epoch
  end
  paused_until = math.max(paused_until, until_then)
end

if request.returning and next_at < now - request.idle then
  -- The first task that comes back after a loss of Redis: the others use their own shares until they notice.
  next_at = now + request.hold
end

local function place(number, at)
  -- A window after the start `calls` places before it, and not before `at`, which is later than all placed slots.
  local nth = redis.call('ZREVRANGE', KEYS[2], request.calls - 1, request.calls - 1, 'WITHSCORES')
  at = math.ceil(math.max(at, nth[2] and nth[2] + request.window or 0))
  redis.call('ZADD', KEYS[2], at, number)
  return at
end

local function confirm(number)
  -- It was given long ago: the start that it depends on, `calls` places before it, may have been late.
  local due = math.max(now, tonumber(redis.call('ZSCORE', KEYS[2], number) or now))
  redis.call('ZADD', KEYS[2], due, number)
  local rank = redis.call('ZREVRANK', KEYS[2], number) + request.calls
  local nth = redis.call('ZREVRANGE', KEYS[2], rank, rank, 'WITHSCORES')
  if not nth[2] or nth[2] + request.window <= due then
    return due
  end
  -- It moves, and so do the slots behind it, in order; except those that are so near that they start without asking.
  redis.call('ZREM', KEYS[2], number)
  local asking = string.format('(%.0f', now + request.fresh)
  local behind = redis.call('ZRANGEBYSCORE', KEYS[2], asking, '+inf', 'WITHSCORES')
  redis.call('ZREMRANGEBYSCORE', KEYS[2], asking, '+inf')
  due = place(number, due)
  for i = 1, #behind, 2 do
    place(behind[i], tonumber(behind[i + 1]))
  end
  return due
end

local slots = {}
for _, held in ipairs(request.confirm) do
  if held[2] == epoch then
    slots[#slots + 1] = held[1]
    slots[#slots + 1] = confirm(held[1])
  end
end
for _ = 1, request.slots do
  if next_at < now - request.catch_up then
    next_at = next_at < now - request.idle and now or now - request.catch_up
  end
  slot = slot + 1
  local at = place(slot, math.max(now, next_at, paused_until))
  next_at = math.max(next_at, at - request.catch_up) + 1000000 / (request.used * request.limit * share)
  slots[#slots + 1] = slot
  slots[#slots + 1] = at
end

redis.call('HSET', KEYS[1], 'next', next_at, 'slot', slot, 'share', share, 'paused_until', paused_until,
  'epoch', epoch, 'slowed', slowed, 'keep', keep, 'seen', now)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - keep)
redis.call('ZADD', KEYS[3], now, request.task)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now - request.forget)
local ttl_ms = math.ceil((math.max(0, paused_until - now, next_at - now) + request.window + request.forget) / 1000)
for _, key in ipairs(KEYS) do
  redis.call('PEXPIRE', key, ttl_ms)
end

-- Redis cuts the fraction off a number that a script returns.
return { now, epoch, slowed, math.floor(share * 1000000), paused_until, redis.call('ZCARD', KEYS[3]), slots }
