"""The Lua that runs in the server: only what must happen at one moment. No payload passes through Lua.

Every script is written for Redis ≥ 7.0 and Valkey, sent by its digest, or by its text where the server forgot it.
Offsets into an entry are those of `core.entry` (Lua counts from one).
"""

from __future__ import annotations

from hashlib import sha1
from typing import Final

from unstale.core.codecs import COUNTER, MAX_COUNTER
from unstale.core.layout import (
    CODEC_AT,
    FENCED,
    FLAGS_AT,
    IDENTITY_AT,
    IDENTITY_SIZE,
    STALE_TTL_AT,
    STAMPS_AT,
    TIMED,
    TIMES_AT,
)
from unstale.core.stamps import HARD_SIZE, LAG, STAMP_SIZE


class Script:
    """A script's text and its digest.

    Attributes:
        text: the Lua.
        digest: what EVALSHA calls it.
    """

    def __init__(self, text: str) -> None:
        """Take the text."""
        self.text = text.strip().encode()
        self.digest = sha1(self.text, usedforsecurity=False).hexdigest().encode()


SEEN_SIZE: Final = 1 + STAMP_SIZE
"""Of what MODIFY is told of a stamp."""

COMMIT: Final = Script(
    f"""
local entry, staged, lease = KEYS[1], KEYS[2], KEYS[3]
local mode, token, ttl, stamp_ttl, prolong, seen = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local now = redis.call('MGET', unpack(KEYS, 3))

local function refuse(why, position)
  redis.call('UNLINK', staged)
  if mode == 'set' then redis.call('UNLINK', entry, lease) end
  if mode == 'fill' and now[1] == token then redis.call('UNLINK', lease) end
  return {{why, position}}
end
local function expire(name, time, ...)
  if time == '' then redis.call('PERSIST', name) else redis.call('PEXPIRE', name, time, ...) end
end

if mode == 'fill' then
  if now[1] ~= token then return refuse('lease', 0) end
elseif redis.call('EXISTS', staged) == 0 then  -- a fill finds out by RENAME; SETRANGE would make a new key
  return refuse('evicted', 0)
end
if mode == 'add' or mode == 'replace' then
  local there = redis.pcall('GETRANGE', entry, 0, math.max(#seen, 1) - 1)
  if type(there) ~= 'string' then there = '' end
  if mode == 'replace' and (there ~= seen or seen == '') then return refuse('changed', 0) end
  if there ~= seen and there ~= '' then return refuse('exists', 0) end
end
for i = 4, #KEYS do
  local stamp, observed = now[i - 2], ARGV[2 * i - 1]
  if stamp ~= observed then
    local open = stamp and #stamp == {STAMP_SIZE}
    if not open and redis.call('EXISTS', KEYS[i]) == 1 then return refuse('closed', i - 4) end
    if observed == '' then
      if not open then
        stamp = ARGV[2 * i]
        redis.call('SET', KEYS[i], stamp)
        expire(KEYS[i], stamp_ttl)
      end
      redis.call('SETRANGE', staged, {STAMPS_AT} + {STAMP_SIZE} * (i - 4), stamp)
    elseif not open or string.sub(stamp, 1, {HARD_SIZE}) ~= string.sub(observed, 1, {HARD_SIZE}) then
      return refuse('stale', i - 4)
    end
  end
end
local moved = redis.pcall('RENAME', staged, entry)
if moved.err then return string.find(moved.err, 'no such key', 1, true) and refuse('evicted', 0) or moved end
if ttl ~= '0' then expire(entry, ttl) end
if prolong == '1' then
  for i = 4, #KEYS do expire(KEYS[i], stamp_ttl, 'GT') end
end
redis.call('UNLINK', lease)
return 'stored'
"""
)
"""Put a staged value in place: KEYS entry staged lease stamp…; ARGV mode token ttl stamp_ttl prolong seen, then for
each stamp the observed one ('' to take what stands there) and a new one should it be missing (stamps beyond the staged
value's own are compared, and prolonged). An empty ttl means no
limit, '0' that the staged value has the right one. One MGET reads the lease and all stamps (closed ones and missing
ones as nil): a call from Lua costs the engine about 0.75 µs."""

MODIFY: Final = Script(
    f"""
local entry = KEYS[1]
local change, shape, names, identity, seen = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[#ARGV - 1]
local count = seen == '' and #KEYS - 1 or #seen / {SEEN_SIZE}
local size = {STAMPS_AT} + {STAMP_SIZE} * count + #names
local head = redis.pcall('GETRANGE', entry, 0, size - 1)
if head == '' then return 'absent' end
if type(head) ~= 'string' or #head < size then return 'other' end
if string.sub(head, 1, #shape) ~= shape then return 'other' end
if string.sub(head, {STAMPS_AT + 1} + {STAMP_SIZE} * count) ~= names then return 'other' end
local flags = string.byte(head, {FLAGS_AT + 1})
if flags % 2 == {FENCED} then
  if string.sub(head, {IDENTITY_AT + 1}, {IDENTITY_AT + IDENTITY_SIZE}) ~= identity then return 'stale' end
end
local function folded(stamp, mask)
  if not stamp or #stamp ~= {STAMP_SIZE} then return false end
  local a, b, c, d = struct.unpack('>I4I4I4I4', stamp)
  local e, f, g, h = struct.unpack('>I4I4I4I4', mask)
  return struct.pack('>i4i4i4i4', bit.bxor(a, e), bit.bxor(b, f), bit.bxor(c, g), bit.bxor(d, h))
end
local now, read = redis.call('MGET', unpack(KEYS, 2)), 0
for i = 1, count do
  local first = {STAMPS_AT + 1} + {STAMP_SIZE} * (i - 1)
  local recorded, stamp = string.sub(head, first, first + {STAMP_SIZE - 1}), now[i]
  if seen ~= '' then
    local kind = string.sub(seen, {SEEN_SIZE} * (i - 1) + 1, {SEEN_SIZE} * (i - 1) + 1)
    stamp = string.sub(seen, {SEEN_SIZE} * (i - 1) + 2, {SEEN_SIZE} * i)
    if kind == 'k' then
      read = read + 1
      stamp = folded(now[read], stamp)
    elseif kind ~= 's' then
      stamp = false
    end
  end
  if stamp ~= recorded then return 'stale' end
end
local stale_ttl = 0
if math.floor(flags / {TIMED}) % 2 == 1 then
  local created, ttl, stale = struct.unpack('>dff', string.sub(head, {TIMES_AT + 1}, {STALE_TTL_AT + 4}))
  if not (tonumber(ARGV[#ARGV]) < created + ttl) then return 'stale' end
  stale_ttl = math.floor(stale * 1000 + 0.5)
end
if change == 'increase' then
  local payload = redis.call('GETRANGE', entry, size, size + 8)
  if string.byte(head, {CODEC_AT + 1}) ~= {COUNTER} or #payload ~= 8 then return 'type' end
  local value = struct.unpack('>i8', payload) + tonumber(ARGV[5])
  if math.abs(value) > {MAX_COUNTER} then return 'range' end
  redis.call('SETRANGE', entry, size, struct.pack('>i8', value))
  return {{string.format('%.0f', value)}}
end
local function expire(name, time, ...)
  if time == '' then redis.call('PERSIST', name) else redis.call('PEXPIRE', name, time, ...) end
end
redis.call('SETRANGE', entry, {TIMES_AT}, ARGV[5])
expire(entry, ARGV[6] == '' and '' or tonumber(ARGV[6]) + stale_ttl)
for i = 2, #KEYS do expire(KEYS[i], ARGV[7] == '' and '' or tonumber(ARGV[7]) + stale_ttl, 'GT') end
return {{'0'}}
"""
)
"""Change an entry in place if it is fresh: KEYS entry stamp…, ARGV change shape names identity, then the delta, or the
packed times, the ttl and the stamps' ttl; at the end what was seen of the stamps, and the caller's time, by which an
entry with TIMED is judged.

What was seen is empty where KEYS has all stamps, and they were recorded as they are. On a cluster it has, for each, a
letter and 16 bytes: `k` and what the next of KEYS is folded with, `s` and a stamp of another slot, or `n` for none."""

RELEASE: Final = Script(
    """
local released = 0
for i = 1, #KEYS do
  if redis.call('GET', KEYS[i]) == ARGV[i] then released = released + redis.call('UNLINK', KEYS[i]) end
end
return released
"""
)
"""Give leases back that are still ours."""

PROLONG: Final = Script(
    """
if redis.call('MGET', KEYS[1])[1] ~= ARGV[2] then return 0 end
if ARGV[1] == '' then return redis.call('PERSIST', KEYS[1]) end
return redis.call('PEXPIRE', KEYS[1], ARGV[1], 'GT')
"""
)
"""Let a stamp live longer, if it is still the one: KEYS stamp, ARGV its ttl and its bytes. For what an entry on another
slot of a cluster records: COMMIT cannot reach it. (Unconditionally, it would keep a closed stamp closed.)"""

SOFTEN: Final = Script(
    f"""
local met = {{}}
for i = 1, #KEYS do
  local stamp = redis.pcall('GET', KEYS[i])
  if not stamp then
    met[i] = 'missing'
  elseif type(stamp) ~= 'string' or #stamp ~= {STAMP_SIZE} then
    met[i] = 'closed'
  else
    redis.call('SETRANGE', KEYS[i], {HARD_SIZE}, ARGV[i + 1])
    if ARGV[1] == '' then redis.call('PERSIST', KEYS[i]) else redis.call('PEXPIRE', KEYS[i], ARGV[1], 'GT') end
    met[i] = 'changed'
  end
end
return met
"""
)
"""Give open stamps new soft halves: ARGV the stamps' ttl, then one half each."""

UNLINK_OPEN: Final = Script(
    """
local removed = 0
for i = 1, #KEYS do
  if redis.call('TYPE', KEYS[i]).ok == 'string' then removed = removed + redis.call('UNLINK', KEYS[i]) end
end
return removed
"""
)
"""Invalidate on a full server, which refuses SET: an open stamp goes; a closed one stays closed."""

_CLOSED: Final = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local keep = ARGV[1]
local function latest(name)
  return tonumber(redis.call('ZRANGE', name, -1, -1, 'WITHSCORES')[2])
end
local function own(name, owner, deadline)
  redis.call('ZADD', name, 'GT', deadline, owner)
end
local function expire(name)
  if keep == '' then redis.call('PERSIST', name) else redis.call('PEXPIREAT', name, latest(name) + keep) end
end
local function drop_expired(name)
  return redis.call('ZREMRANGEBYSCORE', name, '-inf', now)
end
local function begin(name)
  redis.call('PERSIST', name)
end
local lag_owner = '{LAG.decode()}'
"""
"""What the scripts on closed stamps share. Deadlines are milliseconds since 1970 by the server's clock. ARGV[1] is keep
in all of them: milliseconds that a closed stamp stays after its last deadline; empty for no limit.

While a slot of a cluster moves, the node that it leaves refuses a script whatever it does with a name that is not there
(any more), be it a read. So a sorted set gets what it is to have before it loses what it is not to have, and what is
lost by its last member is not touched again. `begin` is a write that a full server does not refuse; after one it
refuses none. An open stamp can only become a closed one by being removed, though: a script that is refused just then
has removed it, and is followed up where the stamp would be now (`cluster_trips`)."""

CLOSE: Final = Script(
    f"""{_CLOSED}
local always, milliseconds, owner, met = ARGV[2] == '1', ARGV[3], ARGV[4], {{}}
for i, name in ipairs(KEYS) do
  local kind = redis.call('TYPE', name).ok
  met[i] = kind == 'none' and 'missing' or kind == 'zset' and 'closed' or 'changed'
  if kind == 'zset' then begin(name) elseif kind ~= 'none' then redis.call('UNLINK', name) end
end
for i, name in ipairs(KEYS) do
  if always or met[i] ~= 'missing' then
    own(name, owner, now + milliseconds)
    drop_expired(name)
    expire(name)
  end
end
return met
"""
)
"""Close stamps: KEYS stamp…, ARGV keep, '1' to close missing ones too, milliseconds until the deadline, owner.

A full server refuses only what a script writes first. Here that is no ZADD wherever a stamp is there, so an
invalidation is never refused; where none is, the first ZADD is, and nothing has been written: all stamps or none."""

COMPLETE: Final = Script(
    f"""{_CLOSED}
local lag, owner, met = tonumber(ARGV[2]), ARGV[3], {{}}
for i, name in ipairs(KEYS) do
  local kind = redis.call('TYPE', name).ok
  met[i] = kind == 'none' and 'missing' or 'changed'
  local left = 0
  if kind == 'zset' then
    begin(name)
    if lag > 0 then own(name, lag_owner, now + lag) end
    left = #redis.call('ZRANGE', name, 0, -1)
    local taken = redis.call('ZREM', name, owner)
    if taken == 0 then met[i] = 'closed' end
    left = left - taken
    if left > 0 then left = left - drop_expired(name) end
  elseif kind ~= 'none' then
    redis.call('UNLINK', name)
    if lag > 0 then
      own(name, lag_owner, now + lag)
      left = 1
    end
  end
  if left > 0 then expire(name) end
end
return met
"""
)
"""Take an owner out of closed stamps: KEYS stamp…, ARGV keep, the lag in milliseconds or 0, owner. A sorted set without
members is gone by itself. A stamp that is open by now has been lost meanwhile, and values of before the COMMIT may have
been stored under it: it goes as well. No old stamp is ever put back."""

OPEN: Final = Script(
    f"""{_CLOSED}
local lag, stamp_ttl, found = ARGV[2], ARGV[3], {{}}
for i, name in ipairs(KEYS) do
  local kind = redis.call('TYPE', name).ok
  if kind == 'string' then
    found[i] = redis.call('GET', name)
  elseif kind == 'none' then
    own(name, lag_owner, now + lag)
    expire(name)
    found[i] = ''
  elseif kind == 'zset' and latest(name) <= now then
    begin(name)
    found[i] = ARGV[3 + i]
    redis.call('SET', name, found[i])
    if stamp_ttl ~= '' then redis.call('PEXPIRE', name, stamp_ttl) end
  else
    found[i] = ''
  end
end
return found
"""
)
"""What a fill does with stamps that its read did not show, where loaders may lag: KEYS stamp…, ARGV keep, the lag in
milliseconds, the stamps' ttl, then a new stamp for each. A missing one is closed for the lag, since it may have been
evicted just after an invalidation; a closed one is opened once all its deadlines are over. '' for closed."""

BY_DIGEST: Final = {
    script.digest: script for script in (CLOSE, COMMIT, COMPLETE, MODIFY, OPEN, PROLONG, RELEASE, SOFTEN, UNLINK_OPEN)
}
