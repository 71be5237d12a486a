"""What stands under a key, for people: its entry's head and whether each stamp that it recorded still stands.

Whoever looks here is not a reader: nothing is remembered, no loader comes to depend on it, no event is told.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from unstale.core import codecs
from unstale.core.compression import LZ4, NONE, ZLIB, ZSTD
from unstale.core.entry import Head
from unstale.core.freshness import Fresh, Outdated, SoftStale, Unfit, Verdict, recorded_stamps
from unstale.core.keyspace import Keyspace, Target, look_at_head
from unstale.core.layout import FLAGS_AT, SIGNED
from unstale.core.ports import IO
from unstale.core.stamps import equal, observe
from unstale.events import Why

_CODECS: Final = {
    codecs.RAW: "raw",
    codecs.COUNTER: "counter",
    codecs.MSGPACK: "msgpack",
    codecs.JSON: "json",
    codecs.PICKLE: "pickle",
}
_COMPRESSIONS: Final = {NONE: "none", ZLIB: "zlib", LZ4: "lz4", ZSTD: "zstd"}
_NOT_THERE: Final = frozenset({Why.ABSENT, Why.UNREADABLE, Why.OTHER_KEY})
"""Why there is nothing of the key's to show."""


class RecordedTag(NamedTuple):
    """A tag that an entry records.

    Attributes:
        tag: its name; `*7` is root 7 of 16, which `clear()` changes.
        stands: whether its stamp now is the one that was recorded. A lost or closed stamp does not stand.
    """

    tag: str
    stands: bool


class Found(NamedTuple):
    """An entry's head.

    Attributes:
        tags: the tags that it records, the key's root last.
        created_at: seconds since 1970.
        ttl: seconds that it was to stay fresh; infinite for no limit.
        stale_ttl: seconds more that it may be served stale.
        load_seconds: what its loader took; 0 for a value that was set.
        head_bytes: the size of all but the value.
        codec: "raw", "counter", "msgpack", "json", "pickle", or the number of a codec of your own.
        compression: "none", "zlib", "lz4" or "zstd".
        signed: whether the value is signed.
        fenced: whether it is bound to the life of the server that it was stored at.
    """

    tags: tuple[RecordedTag, ...]
    created_at: float
    ttl: float
    stale_ttl: float
    load_seconds: float
    head_bytes: int
    codec: str
    compression: str
    signed: bool
    fenced: bool


class Inspection(NamedTuple):
    """What stands under a key.

    Attributes:
        key: the key.
        verdict: "fresh"; "stale": there is an entry, which no verb sees any more; "miss": there is none of this key's.
        why: why not, where that is no tag's doing.
        tag: the tag that was invalidated, or lost its stamp.
        ttl: seconds until a fresh entry expires; infinite for no limit; None where there is no fresh one.
        entry: its entry's head, where there is one.
    """

    key: str
    verdict: str
    why: Why | None
    tag: str | None
    ttl: float | None
    entry: Found | None


async def inspect(io: IO, space: Keyspace, target: Target) -> Inspection:
    """Read a key's head and every stamp that it records, in at most three trips."""
    seen, left = await look_at_head(io, space, target)
    verdict, why, tag = _said(seen.verdict)
    head = seen.head
    if head is None or seen.data is None or why is Why.OTHER_KEY:
        return Inspection(target.key, verdict, why, tag, None, None)
    current = dict(seen.current)
    unread = [tag for tag, _ in recorded_stamps(head, seen.root) if tag not in current]
    if unread:  # where one tag is stale already, a read does not ask for the others
        values, _ = await io.read([space.names.stamp(tag) for tag in unread])
        current.update(zip(unread, map(observe, values), strict=True))
    recorded = (RecordedTag(tag, equal(stamp, current[tag])) for tag, stamp in recorded_stamps(head, seen.root))
    ttl = max(left - head.stale_ttl, 0.0) if isinstance(seen.verdict, Fresh) else None
    signed = bool(seen.data[FLAGS_AT] & SIGNED)
    return Inspection(target.key, verdict, why, tag, ttl, _found(head, tuple(recorded), signed=signed))


def _said(verdict: Verdict) -> tuple[str, Why | None, str | None]:
    """A verdict in words, why, and by which tag."""
    match verdict:
        case Fresh():
            return "fresh", None, None
        case Outdated(tag, _) | SoftStale(str() as tag, _):
            return "stale", None, tag
        case SoftStale():
            return "stale", Why.EXPIRED, None
        case Unfit(why, _):
            return "miss" if why in _NOT_THERE else "stale", why, None
    raise AssertionError(verdict)  # assess() has read what was unknown


def _found(head: Head, tags: tuple[RecordedTag, ...], *, signed: bool) -> Found:
    return Found(
        tags=tags,
        created_at=head.created_at,
        ttl=head.ttl,
        stale_ttl=head.stale_ttl,
        load_seconds=head.load_seconds,
        head_bytes=head.size,
        codec=_CODECS.get(head.codec, str(head.codec)),
        compression=_COMPRESSIONS.get(head.compression, str(head.compression)),
        signed=signed,
        fenced=head.fenced,
    )
