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
    STAMPS_AT,
    TIMES_AT,
)
from unstale.core.stamps import HARD_SIZE, STAMP_SIZE


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


# A stamp is open if it is a string of STAMP_SIZE bytes. `pcall`: GET of a closed one (a sorted set) is an error.
_STAMP: Final = f"""
local function stamp(name)
  local value = redis.pcall('GET', name)
  if value == false then return nil end
  if type(value) ~= 'string' or #value ~= {STAMP_SIZE} then return 'closed' end
  return value
end
local function prolong(name, ttl)
  if ttl == '' then redis.call('PERSIST', name) else redis.call('PEXPIRE', name, ttl, 'GT') end
end
"""

COMMIT: Final = Script(
    _STAMP
    + f"""
local entry, lease, staged = KEYS[1], KEYS[2], KEYS[3]
local mode, token, ttl, stamp_ttl, seen = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local count = #KEYS - 3
local mine = redis.pcall('GET', lease) == token

local function refuse(why, position)
  redis.call('UNLINK', staged)
  if mode == 'set' then redis.call('UNLINK', entry, lease) end
  if mode == 'fill' and mine then redis.call('UNLINK', lease) end
  return {{why, position}}
end

if redis.call('EXISTS', staged) == 0 then return refuse('evicted', 0) end
if mode == 'fill' and not mine then return refuse('lease', 0) end
if mode == 'add' then
  if redis.call('EXISTS', entry) == 1 and (seen == '' or redis.pcall('GETRANGE', entry, 0, #seen - 1) ~= seen) then
    return refuse('exists', 0)
  end
end
for i = 1, count do
  local observed, now = ARGV[5 + 2 * i - 1], stamp(KEYS[3 + i])
  if now == 'closed' then return refuse('closed', i - 1) end
  if observed == '' then
    if not now then
      now = ARGV[5 + 2 * i]
      redis.call('SET', KEYS[3 + i], now)
      if stamp_ttl ~= '' then redis.call('PEXPIRE', KEYS[3 + i], stamp_ttl) end
    end
    redis.call('SETRANGE', staged, {STAMPS_AT} + {STAMP_SIZE} * (i - 1), now)
  elseif not now or string.sub(now, 1, {HARD_SIZE}) ~= string.sub(observed, 1, {HARD_SIZE}) then
    return refuse('stale', i - 1)
  end
end
for i = 1, count do prolong(KEYS[3 + i], stamp_ttl) end
redis.call('RENAME', staged, entry)
if ttl == '' then redis.call('PERSIST', entry) else redis.call('PEXPIRE', entry, ttl) end
redis.call('UNLINK', lease)
return {{'stored', 0}}
"""
)
"""Put a staged value in place: KEYS entry lease staged stamp…, ARGV mode token ttl stamp_ttl seen, then per stamp the
observed one ('' to take what stands there) and a new one should it be missing. An empty ttl means no limit."""

MODIFY: Final = Script(
    _STAMP
    + f"""
local entry, count = KEYS[1], #KEYS - 1
local change, shape, names, identity = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local size = {STAMPS_AT} + {STAMP_SIZE} * count + #names
if redis.call('EXISTS', entry) == 0 then return 'absent' end
local head = redis.pcall('GETRANGE', entry, 0, size - 1)
if type(head) ~= 'string' or #head < size then return 'other' end
if string.sub(head, 1, #shape) ~= shape then return 'other' end
if string.sub(head, {STAMPS_AT + 1} + {STAMP_SIZE} * count) ~= names then return 'other' end
if string.byte(head, {FLAGS_AT + 1}) == {FENCED} then
  if string.sub(head, {IDENTITY_AT + 1}, {IDENTITY_AT + IDENTITY_SIZE}) ~= identity then return 'stale' end
end
for i = 1, count do
  local first = {STAMPS_AT + 1} + {STAMP_SIZE} * (i - 1)
  if stamp(KEYS[1 + i]) ~= string.sub(head, first, first + {STAMP_SIZE - 1}) then return 'stale' end
end
if change == 'increase' then
  local payload = redis.call('GETRANGE', entry, size, size + 8)
  if string.byte(head, {CODEC_AT + 1}) ~= {COUNTER} or #payload ~= 8 then return 'type' end
  local value = struct.unpack('>I8', payload) + tonumber(ARGV[5])
  if value < 0 or value > {MAX_COUNTER} then return 'range' end
  redis.call('SETRANGE', entry, size, struct.pack('>I8', value))
  return {{string.format('%.0f', value)}}
end
redis.call('SETRANGE', entry, {TIMES_AT}, ARGV[5])
if ARGV[6] == '' then redis.call('PERSIST', entry) else redis.call('PEXPIRE', entry, ARGV[6]) end
for i = 1, count do prolong(KEYS[1 + i], ARGV[7]) end
return {{'0'}}
"""
)
"""Change an entry in place if it is fresh: KEYS entry stamp…, ARGV change shape names identity, then the delta, or the
packed times, the ttl and the stamps' ttl."""

RELEASE: Final = Script(
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('UNLINK', KEYS[1]) end return 0"
)
"""Give a lease back if it is still ours."""

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

BY_DIGEST: Final = {script.digest: script for script in (COMMIT, MODIFY, RELEASE, UNLINK_OPEN)}
