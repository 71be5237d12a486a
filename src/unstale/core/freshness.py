"""The one rule, as a pure judgement.

    An entry is fresh if and only if every stamp that it recorded equals that tag's stamp now, byte for byte.

Around it stand the conditions without which the comparison would mean nothing: the bytes are an entry, of this key,
with all the tags that the reader asked for, filled under the server that answers now.

`payload_at` decides the common case in a few comparisons of bytes: it says yes only where `judge` would, and only if
the payload is undamaged. Everything else, and every reason, is `judge`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from unstale.core.entry import Head, UnreadableError, checksum, parse
from unstale.core.keys import END, TagSet, root_tag
from unstale.core.layout import CHECK, CODEC_AT, COMPRESSION_AT, FENCED, FLAGS_AT, IDENTITY_AT, UNFENCED_IDENTITY
from unstale.core.stamps import STAMP_SIZE, Observed, equal
from unstale.events import Why


@dataclass(frozen=True, slots=True)
class Fresh:
    """The entry may be served."""

    head: Head


@dataclass(frozen=True, slots=True)
class Unfit:
    """The entry may not be served, for a reason other than a stamp. `head` is None where it cannot be read."""

    why: Why
    head: Head | None = None


@dataclass(frozen=True, slots=True)
class Outdated:
    """A recorded stamp is not the tag's stamp any more."""

    tag: str
    head: Head


@dataclass(frozen=True, slots=True)
class Unknown:
    """The entry records tags whose stamps were not read: look at these as well, then judge again."""

    tags: tuple[str, ...]
    head: Head


Verdict: TypeAlias = Fresh | Unfit | Outdated | Unknown


def payload_at(data: bytes, expected: TagSet, names: bytes, stamps: Sequence[Observed], identity: bytes) -> int:
    """Where the payload of a fresh, undamaged entry begins, or 0 where this quick look cannot say so.

    From the identity to the payload, an entry holds nothing that is not known beforehand (but the checksum, which
    follows from the payload): all of that is one comparison.

    Args:
        data: the entry's bytes.
        expected: the tags that the entry should record, no more and no fewer.
        names: the expected tags' names and the key, each with its END, as the entry holds them.
        stamps: the stamps now: of the expected tags in order, then of the key's root.
        identity: of the connection that answered.
    """
    at = expected.names_at + len(names)
    if len(data) < at or not data.startswith(expected.shape):
        return 0
    flags, codec = data[FLAGS_AT], data[CODEC_AT]
    check = CHECK.pack(checksum(codec, data[at:]))
    try:
        known = b"".join((identity if flags else UNFENCED_IDENTITY, check, *stamps, names))  # type: ignore[arg-type]
    except TypeError:  # a stamp is missing or closed
        return 0
    if not data.startswith(known, IDENTITY_AT) or len(known) != at - IDENTITY_AT:
        return 0
    for stamp in stamps:
        if len(stamp) != STAMP_SIZE:  # type: ignore[arg-type]
            return 0
    return at if flags <= FENCED and not data[COMPRESSION_AT] else 0


def judge(
    data: bytes | None,
    raw_key: bytes,
    wanted: Iterable[str],
    current: Mapping[str, Observed],
    identity: bytes,
) -> Verdict:
    """Judge an entry.

    Args:
        data: its bytes (the payload may be missing); None where there are none.
        raw_key: the key that was asked for.
        wanted: the tags that the reader declared, ancestors included.
        current: the stamps that were read, by tag; the key's root is among them.
        identity: of the connection that answered.
    """
    if data is None:
        return Unfit(Why.ABSENT)
    try:
        head = parse(data)
    except UnreadableError:
        return Unfit(Why.UNREADABLE)
    if head.key != raw_key:
        return Unfit(Why.OTHER_KEY, head)
    if not set(wanted).issubset(head.tags):
        return Unfit(Why.TAGS, head)
    if head.fenced and head.identity != identity:
        return Unfit(Why.IDENTITY, head)
    return _compare(head, raw_key, current)


def _compare(head: Head, raw_key: bytes, current: Mapping[str, Observed]) -> Verdict:
    recorded = recorded_stamps(head, raw_key)
    for tag, stamp in recorded:
        if tag in current and not equal(stamp, current[tag]):
            return Outdated(tag, head)
    unknown = tuple(tag for tag, _ in recorded if tag not in current)
    return Unknown(unknown, head) if unknown else Fresh(head)


def recorded_stamps(head: Head, raw_key: bytes) -> tuple[tuple[str, bytes], ...]:
    """An entry's recorded tags with their stamps, the key's root last."""
    return tuple(zip((*head.tags, root_tag(raw_key)), head.stamps, strict=True))


def names_blob(tagset: TagSet, raw_key: bytes) -> bytes:
    """The names as an entry with these tags and this key holds them."""
    return tagset.blob + raw_key + END
