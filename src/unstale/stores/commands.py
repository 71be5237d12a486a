"""What each method of a store says to the server, and how it reads the answer. Shared by every Redis store.

A `Trip` is the commands of one round trip and the function that parses their replies. It is made anew for each attempt,
so that every attempt has stamps, tokens and staging names of its own: a late duplicate of an earlier attempt then
cannot bring back what it once wrote.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Generic, TypeAlias, TypeVar

import hiredis

from unstale.core.keys import END
from unstale.core.ports import (
    HEAD_PROBE,
    PEEK_BYTES,
    Bumped,
    Change,
    Claim,
    Claimed,
    Commit,
    Committed,
    Heads,
    Mode,
    Modify,
    Opening,
    Outcome,
    Peek,
    Reading,
    Scanned,
    Unmodified,
)
from unstale.core.stamps import CLOSED, HARD_SIZE, LAG, STAMP_SIZE, Observed, observe
from unstale.errors import (
    NotPrimaryError,
    NotReplicatedError,
    StoreAuthError,
    StoreError,
    StoreFullError,
    StoreRefusedError,
    StoreUnavailableError,
    WrongNodeError,
)
from unstale.stores.abandoned import Held
from unstale.stores.scripts import (
    BY_DIGEST,
    CLOSE,
    COMMIT,
    COMPLETE,
    MODIFY,
    OPEN,
    PROLONG,
    RELEASE,
    SOFTEN,
    UNLINK_OPEN,
    Script,
)

T = TypeVar("T")
Command: TypeAlias = "tuple[Any, ...]"

PING: Command = (b"PING",)

STAGING_SECONDS = 30.0
"""How long a staged value lives if the script that stores it never runs (its connection broke in between)."""
LONGEST_STAGED_TTL = 3600.0
"""A value with no longer ttl is staged with it, which spares the script a call."""


@dataclass(frozen=True, slots=True)
class Trip(Generic[T]):
    """The commands of one round trip, and what their replies mean.

    Attributes:
        commands: sent together.
        parse: given the replies, and the identity of the server as it was proved with this trip or before.
    """

    commands: list[Command]
    parse: Callable[[list[Any], bytes], T]


def parsed(trip: Trip[T], replies: list[Any], identity: bytes) -> T:
    """What a trip's replies mean.

    Raises:
        StoreError: the server refused, or its answer makes no sense.
    """
    try:
        return trip.parse(replies, identity)
    except (AttributeError, IndexError, TypeError, ValueError) as error:
        raise StoreRefusedError("The server's answer makes no sense. Is it Redis or Valkey?") from error


def any_error(replies: Sequence[Any], kind: str) -> bool:
    """Whether one of the replies is an error of this kind."""
    if hiredis.ReplyError not in map(type, replies):  # nearly always
        return False
    return any(isinstance(reply, hiredis.ReplyError) and str(reply).startswith(kind) for reply in replies)


def new_stamp() -> bytes:
    """A stamp that has never been: random, from the operating system (preforked workers share `random`'s state)."""
    return os.urandom(STAMP_SIZE)


def new_token() -> bytes:
    """A lease's token, which also names the staged value."""
    return os.urandom(9).hex().encode()


def milliseconds(seconds: float) -> bytes:
    """For PX and PEXPIRE: at least one.

    Bytes, as all that is packed: on an int, hiredis 3.5 crashes the process when a signal's handler raises.
    """
    return b"%d" % max(1, round(seconds * 1000))


def _limit(seconds: float) -> bytes:
    """For the scripts: milliseconds, or nothing for no limit."""
    return b"" if math.isinf(seconds) else milliseconds(seconds)


def _px(seconds: float) -> tuple[bytes, ...]:
    """SET's words for a ttl."""
    return () if math.isinf(seconds) else (b"PX", milliseconds(seconds))


def _evalsha(script: Script, keys: Sequence[bytes], *arguments: Any) -> Command:
    return (b"EVALSHA", script.digest, b"%d" % len(keys), *keys, *arguments)


def by_text(command: Command) -> Command:
    """The same script call, with the script's text in place of its digest."""
    if command[0] != b"EVALSHA":
        return command
    return (b"EVAL", BY_DIGEST[command[1]].text, *command[2:])


_AWAY = "ttempted to access a non local key in a cluster node"
"""What a script is told that touches a name which is not there, at the node that its slot is leaving.

Redis, and Valkey to 7, have "Script a" before it; Valkey from 8 on "A".
"""
_NOT_NOW = frozenset({"LOADING", "MASTERDOWN", "BUSY", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED"})


_ERRORS: Final[dict[str, Callable[[], StoreError]]] = {
    "OOM": StoreFullError,
    "NOAUTH": StoreAuthError,
    "WRONGPASS": StoreAuthError,
    "READONLY": NotPrimaryError,
    "MOVED": WrongNodeError,
    "ASK": WrongNodeError,
    "CROSSSLOT": WrongNodeError,
}
_SCRIPT_MAY_NOT: Final = "executing the script can't"
"""Of what a script calls, in place of NOPERM."""


def is_moving(reply: Any) -> bool:
    """Whether a reply is a refusal since a slot moves. A script may have got half way."""
    return isinstance(reply, hiredis.ReplyError) and (str(reply).startswith("TRYAGAIN") or _AWAY in str(reply))


def error_of(reply: hiredis.ReplyError) -> StoreError:
    """The exception for an error reply. Of its text only what cannot hold a value is kept."""
    text = str(reply).partition(", with args beginning")[0]
    word = text.partition(" ")[0]
    if word in _ERRORS:
        return _ERRORS[word]()
    if word in _NOT_NOW or _AWAY in text:
        return StoreUnavailableError(f"The server cannot answer now: {text}")
    if word == "NOPERM" or _SCRIPT_MAY_NOT in text:
        text = f"{text} The rights that unstale needs are in docs/security.md."
    return StoreRefusedError(f"The server answered with an error: {text}")


def checked(reply: Any) -> Any:
    """A reply that must not be an error."""
    if isinstance(reply, hiredis.ReplyError):
        raise error_of(reply)
    return reply


def pack(command: Command) -> bytes:
    """A command as RESP."""
    packed: bytes = hiredis.pack_command(command)
    return packed


@lru_cache(maxsize=4096)
def pack_read(names: tuple[bytes, ...]) -> bytes:
    """MGET as RESP. Names recur from read to read, so it is kept: a quarter of the time of packing it anew."""
    return pack((b"MGET", *names))


def read(names: Sequence[bytes]) -> Trip[Reading]:
    """One MGET."""
    return Trip([(b"MGET", *names)], lambda replies, identity: (_strings(replies[0], len(names)), identity))


def _strings(reply: Any, count: int) -> list[bytes | None]:
    """The reply to an MGET."""
    values: list[bytes | None] = checked(reply)
    if len(values) != count or any(value is not None and type(value) is not bytes for value in values):
        raise ValueError
    return values


def beginning(entry: bytes) -> Trip[tuple[bytes | None, float]]:
    """GETRANGE and PTTL: an entry's first PEEK_BYTES, and the seconds that it has left."""
    commands: list[Command] = [(b"GETRANGE", entry, b"0", b"%d" % (PEEK_BYTES - 1)), (b"PTTL", entry)]

    def parse(replies: list[Any], _identity: bytes) -> tuple[bytes | None, float]:
        first = _string(replies[0])
        left = checked(replies[1])
        seconds = math.inf if left == -1 else max(left, 0) / 1000
        return first, seconds if first is not None else 0.0

    return Trip(commands, parse)


def peek(entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes]) -> Trip[Peek]:
    """GETRANGE, PTTL and MGET; UNLINK where something is to go."""
    begin = beginning(entry)
    commands: list[Command] = [*begin.commands, (b"MGET", *stamp_names)]
    if remove:
        commands.append((b"UNLINK", *remove))

    def parse(replies: list[Any], identity: bytes) -> Peek:
        if remove:
            checked(replies[3])
        first, seconds = begin.parse(replies, identity)
        return Peek(first, seconds, [observe(one) for one in checked(replies[2])], identity)

    return Trip(commands, parse)


def heads(names: Sequence[bytes], size: int, stamp_names: Sequence[bytes], remove: Sequence[bytes]) -> Trip[Heads]:
    """GETRANGE of each entry; MGET of the stamps and UNLINK where there are any."""
    commands: list[Command] = [(b"GETRANGE", name, b"0", b"%d" % (size - 1)) for name in names]
    if stamp_names:
        commands.append((b"MGET", *stamp_names))
    if remove:
        commands.append((b"UNLINK", *remove))

    def parse(replies: list[Any], identity: bytes) -> Heads:
        if remove:
            checked(replies[-1])
        stamps = checked(replies[len(names)]) if stamp_names else []
        return Heads([_string(reply) for reply in replies[: len(names)]], [observe(one) for one in stamps], identity)

    return Trip(commands, parse)


def scan(cursor: int, match: bytes, count: int) -> Trip[Scanned]:
    """SCAN."""

    def parse(replies: list[Any], identity: bytes) -> Scanned:
        following, names = checked(replies[0])
        return Scanned(int(following), list(names), identity)

    return Trip([(b"SCAN", b"%d" % cursor, b"MATCH", match, b"COUNT", b"%d" % count)], parse)


def remove(names: Sequence[bytes]) -> Trip[int]:
    """UNLINK."""
    return Trip([(b"UNLINK", *names)], lambda replies, _: int(checked(replies[0])))


def _string(reply: Any) -> bytes | None:
    """What GETRANGE found: nothing and something that is not a string are the same to us."""
    if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("WRONGTYPE"):
        return None
    return checked(reply) or None


def head(entry: bytes) -> Trip[bytes | None]:
    """GETRANGE of an entry's first bytes, to see whether it is another by now."""
    return Trip([_probe(entry)], lambda replies, _: _string(replies[0]))


def _probe(entry: bytes) -> Command:
    return (b"GETRANGE", entry, b"0", b"%d" % (HEAD_PROBE - 1))


def claim(one: Claim, held: list[Held]) -> Trip[Claimed]:
    """SET NX GET of a lease; its entry's beginning is left to `head`. `held`: as for `open_`."""
    token = new_token()
    commands = [*_giving_back(held), _claim(one, token)]
    held.append((one.lease, token))
    return Trip(commands, lambda replies, _: _claimed(token, _string(replies[-1]), None))


def _giving_back(held: Sequence[Held]) -> list[Command]:
    return release(held).commands if held else []


def _claim(one: Claim, token: bytes) -> Command:
    return (b"SET", one.lease, token, b"NX", b"GET", b"PX", milliseconds(one.seconds))


def open_(
    claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float, held: list[Held]
) -> Trip[Opening]:
    """For each claim SET NX GET of the lease; SET NX GET for each missing stamp; then the entries' beginnings.

    With a lag one script in place of the stamps' SETs.

    Args:
        claims: of leases.
        missing: names of stamps.
        stamp_ttl: seconds.
        lag: seconds.
        held: leases with tokens that nobody will use, which are given back first. This attempt's are put there, too:
            they are such ones as soon as it has failed.
    """
    tokens, stamps = [new_token() for _ in claims], [new_stamp() for _ in missing]
    back = _giving_back(held)
    held += [(one.lease, token) for one, token in zip(claims, tokens, strict=True)]
    commands: list[Command] = [_claim(one, token) for one, token in zip(claims, tokens, strict=True)]
    if not lag:
        commands += [
            (b"SET", name, stamp, b"NX", b"GET", *_px(stamp_ttl)) for name, stamp in zip(missing, stamps, strict=True)
        ]
    elif missing:
        limits = (_limit(stamp_ttl), milliseconds(lag), _limit(stamp_ttl))
        commands.append(_evalsha(OPEN, missing, *limits, *stamps))
    between = len(commands) - len(claims)
    commands += [_probe(one.entry) for one in claims]

    def parse(every: list[Any], identity: bytes) -> Opening:
        count, replies = len(claims), every[len(back) :]
        heads = [_string(reply) for reply in replies[count + between :]]
        if lag:
            found = [observe(one) for one in checked(replies[count])] if missing else []
        else:
            found = [_opened(reply, stamp) for reply, stamp in zip(replies[count:], stamps, strict=False)]
        if len(heads) != count or len(found) != len(stamps):
            raise ValueError
        holders = map(_string, replies[:count])
        return Opening([_claimed(*one) for one in zip(tokens, holders, heads, strict=True)], found, identity)

    return Trip([*back, *commands], parse)


def _claimed(token: bytes, holder: bytes | None, head: bytes | None) -> Claimed:
    if holder == token:  # sent again, since the server did not know a script that went with it
        holder = None
    return Claimed(token if holder is None else None, holder, head)


def _opened(reply: Any, created: bytes) -> Observed:
    """What SET NX GET says: nothing stood there (ours does now), an open stamp, or another type: closed."""
    if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("WRONGTYPE"):
        return CLOSED
    return created if checked(reply) is None else observe(reply)


_MODES = {Mode.FILL: b"fill", Mode.SET: b"set", Mode.ADD: b"add", Mode.REPLACE: b"replace"}


def commit(commits: Sequence[Commit], identity: bytes) -> Trip[list[Committed]]:
    """For each draft: SET of the staged value, then the script that puts it in place."""
    commands: list[Command] = []
    sizes: list[int] = []
    for one in commits:
        envelope = one.draft.seal(one.identity or identity, one.observed)
        sizes.append(len(envelope))
        commands += committing(one, envelope, (*zip(one.stamp_names, one.observed, strict=True), *one.beside))

    def parse(replies: list[Any], _proved: bytes) -> list[Committed]:
        done = [committed_of(*each) for each in zip(replies[::2], replies[1::2], sizes, strict=True)]
        return [_bound(one, committed, identity) for one, committed in zip(commits, done, strict=True)]

    return Trip(commands, parse)


def committing(one: Commit, envelope: bytes, stamps: Sequence[tuple[bytes, bytes | None]]) -> list[Command]:
    """SET of a sealed draft under a staging name, then the script that puts it in place.

    Args:
        one: the commit.
        envelope: its draft, sealed.
        stamps: what the script compares, by name; None to take what stands there, for the envelope's own in order.
    """
    staging, ttl = _staging(one), one.draft.life
    staged_so = ttl <= LONGEST_STAGED_TTL
    observed = [part for _, stamp in stamps for part in (stamp or b"", b"" if stamp else new_stamp())]
    script = _evalsha(
        COMMIT,
        (one.entry, staging, one.lease, *(name for name, _ in stamps)),
        _MODES[one.mode],
        one.token,
        b"0" if staged_so else _limit(ttl),
        _limit(one.stamp_ttl),
        b"1" if one.prolong else b"0",
        one.seen or b"",
        *observed,
    )
    return [(b"SET", staging, envelope, b"PX", milliseconds(ttl if staged_so else STAGING_SECONDS)), script]


def is_once(commits: Sequence[Commit]) -> bool:
    """Whether a commit must not be tried twice: after the first it would find its own entry, and say that it failed."""
    return any(one.mode in {Mode.ADD, Mode.REPLACE} for one in commits)


def _staging(one: Commit) -> bytes:
    """A staging name of this attempt's own, beside the lease (and on its cluster slot)."""
    return one.lease + END + new_token()


def committed_of(staged: Any, stored: Any, size: int) -> Committed:
    """What the two replies to `committing` say. A stamp's position is the one that it had there."""
    checked(staged)
    if stored == b"stored":
        return Committed(Outcome.STORED, 0, size)
    outcome, position = checked(stored)
    return Committed(Outcome(outcome.decode()), position, size)


def _bound(one: Commit, committed: Committed, identity: bytes) -> Committed:
    """What was observed at one server and stored at another is never fresh: for its readers it was not stored."""
    elsewhere = one.draft.fenced and one.identity not in (None, identity)
    stored = committed.outcome is Outcome.STORED
    return Committed(Outcome.IDENTITY) if elsewhere and stored else committed


def release(held: Sequence[tuple[bytes, bytes]]) -> Trip[None]:
    """A script: UNLINK what is still ours."""
    command = _evalsha(RELEASE, [lease for lease, _ in held], *(token for _, token in held))
    return Trip([command], lambda replies, _: checked(replies[0]) and None)


def bump(stamp_names: Sequence[bytes], stamp_ttl: float) -> Trip[list[Bumped | None]]:
    """SET XX GET for each stamp. None where the server had no memory for it: `unlink_open` must follow."""
    commands: list[Command] = [(b"SET", name, new_stamp(), b"XX", b"GET", *_px(stamp_ttl)) for name in stamp_names]
    return Trip(commands, lambda replies, _: [_bumped(reply) for reply in replies])


def bump_again(stamp_names: Sequence[bytes]) -> Trip[list[Bumped | None]]:
    """`bump` where the stamps' ttls are not known: they stay."""
    commands: list[Command] = [(b"SET", name, new_stamp(), b"XX", b"GET", b"KEEPTTL") for name in stamp_names]
    return Trip(commands, lambda replies, _: [_bumped(reply) for reply in replies])


def acknowledged(trip: Trip[T], beside: bytes, wait: int, seconds: float) -> Trip[T]:
    """An invalidation's trip with a WAIT for replicas behind it, whose count is checked.

    It writes a mark that is gone at once. Of a missing stamp nothing is written, and since Redis 7.2 WAIT counts who
    has the connection's own last write; but a replica may not know yet that the stamp was evicted.

    Args:
        trip: the invalidation's.
        beside: the name of one of its stamps.
        wait: how many replicas.
        seconds: for how long the server waits.
    """
    mark: Command = (b"SET", beside + END + b"wait", b"", b"PX", b"1")
    waiting: Command = (b"WAIT", b"%d" % wait, milliseconds(seconds))

    def parse(replies: list[Any], identity: bytes) -> T:
        done = trip.parse(replies[:-2], identity)
        if isinstance(done, list) and None in done:  # refused for want of memory: `unlink_open` follows, and waits
            return done
        known = int(checked(replies[-1]))
        if known < wait:
            raise NotReplicatedError(
                f"It has taken effect on the primary, but {known} of {wait} replicas have acknowledged it within "
                f"{seconds:g} s: a failover could undo it. Call it again."
            )
        return done

    return Trip([*trip.commands, mark, waiting], parse)


def close_stamps(stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float) -> Trip[None]:
    """A script: close stamps for an owner, missing ones too."""
    command = _evalsha(CLOSE, stamp_names, _keep(keep), b"1", milliseconds(seconds), owner)

    def parse(replies: list[Any], _identity: bytes) -> None:
        _met(replies[0], len(stamp_names))

    return Trip([command], parse)


def close_for_lag(stamp_names: Sequence[bytes], lag: float, keep: float) -> Trip[list[Bumped]]:
    """`close_those_there` once they have been removed: they were there, and are closed whatever stands there now."""
    command = _evalsha(CLOSE, stamp_names, _keep(keep), b"1", milliseconds(lag), LAG)
    return Trip([command], lambda replies, _: [Bumped.CHANGED for _ in _met(replies[0], len(stamp_names))])


def close_those_there(stamp_names: Sequence[bytes], lag: float, keep: float) -> Trip[list[Bumped]]:
    """A script: close the stamps that are there until what was loaded before is behind every replica."""
    command = _evalsha(CLOSE, stamp_names, _keep(keep), b"0", milliseconds(lag), LAG)
    return Trip([command], lambda replies, _: _met(replies[0], len(stamp_names)))


def complete(stamp_names: Sequence[bytes], owner: bytes, keep: float, lag: float) -> Trip[list[Bumped]]:
    """A script: take an owner away."""
    command = _evalsha(COMPLETE, stamp_names, _keep(keep), milliseconds(lag) if lag else b"0", owner)
    return Trip([command], lambda replies, _: _met(replies[0], len(stamp_names)))


def _keep(seconds: float) -> bytes:
    """How long a closed stamp outlives its deadlines, for the scripts: milliseconds, nothing for no limit."""
    return _limit(seconds) if seconds else b"0"


def _met(reply: Any, count: int) -> list[Bumped]:
    """What a script says of each stamp."""
    met = [Bumped(one.decode()) for one in checked(reply)]
    if len(met) != count:
        raise ValueError
    return met


def soften(stamp_names: Sequence[bytes], stamp_ttl: float) -> Trip[list[Bumped | None]]:
    """A script: new soft halves. All None where the server had no memory for it: `unlink_open` must follow."""
    halves = [new_stamp()[HARD_SIZE:] for _ in stamp_names]
    command = _evalsha(SOFTEN, stamp_names, _limit(stamp_ttl), *halves)

    def parse(replies: list[Any], _identity: bytes) -> list[Bumped | None]:
        if isinstance(replies[0], hiredis.ReplyError) and "OOM" in str(replies[0]):
            return [None] * len(stamp_names)
        return [*_met(replies[0], len(stamp_names))]

    return Trip([command], parse)


def _bumped(reply: Any) -> Bumped | None:
    if isinstance(reply, hiredis.ReplyError):
        if str(reply).startswith("WRONGTYPE"):
            return Bumped.CLOSED
        if str(reply).startswith("OOM"):
            return None
    return Bumped.MISSING if checked(reply) is None else Bumped.CHANGED


def unlink_open(stamp_names: Sequence[bytes]) -> Trip[int]:
    """A script: remove the stamps that are open."""
    return Trip([_evalsha(UNLINK_OPEN, stamp_names)], lambda replies, _: int(checked(replies[0])))


def prolong(stamp_name: bytes, stamp: bytes, stamp_ttl: float) -> Trip[None]:
    """A script: let a stamp that is still the same live longer."""
    command = _evalsha(PROLONG, (stamp_name,), _limit(stamp_ttl), stamp)
    return Trip([command], lambda replies, _: checked(replies[0]) and None)


def modify(
    one: Modify, identity: bytes, keys: Sequence[bytes] | None = None, seen: bytes = b""
) -> Trip[int | Unmodified]:
    """A script that checks the entry's stamps, then counts or gives a new ttl.

    Args:
        one: the change.
        identity: the server's, as the entry has it.
        keys: the stamps that the script reads, if not all.
        seen: what the script is told of each stamp, see MODIFY; empty where it reads all as they were recorded.
    """
    names = (one.entry, *(one.stamp_names if keys is None else keys))
    if one.change is Change.INCREASE:
        rest: tuple[Any, ...] = (b"%d" % one.delta,)
    else:
        rest = (one.times, _limit(one.ttl), _limit(one.stamp_ttl))
    command = _evalsha(
        MODIFY, names, one.change.value.encode(), one.shape, one.names, identity, *rest, seen, b"%.6f" % one.now
    )

    def parse(replies: list[Any], proved: bytes) -> int | Unmodified:
        if proved != identity:  # the proof that came with this trip shows another server than the script was told of
            return Unmodified.OTHER
        reply = checked(replies[0])
        return int(reply[0]) if isinstance(reply, list) else Unmodified(reply.decode())

    return Trip([command], parse)


def ping() -> Trip[None]:
    """PING."""
    return Trip([PING], lambda replies, _: checked(replies[0]) and None)
