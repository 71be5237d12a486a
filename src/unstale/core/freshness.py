"""The one rule, as a pure judgement.

    An entry is fresh if and only if every stamp that it recorded equals that tag's stamp now, byte for byte.

Around it stand the conditions without which the comparison would mean nothing: the bytes are an entry, of this key,
with all the tags that the reader asked for, filled under the server that answers now.

A stamp has two halves. Where only soft halves differ, or only the ttl is over, a value is *soft-stale*: absent to
every verb, but one who would load it anew may serve it meanwhile, within the entry's stale ttl. Times are the clock's
and only ever decide that; nothing that is hard-stale becomes servable by them.

`fresh_payload` decides the common case in a few comparisons of bytes: it says yes only where `judge` would, and only if
the payload is undamaged. Everything else, and every reason, is `judge`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hmac import compare_digest
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias
from zlib import crc32

from unstale.core.codecs import COUNTER
from unstale.core.entry import Head, UnreadableError, parse
from unstale.core.keys import END, TagSet
from unstale.core.layout import (
    CHECK,
    CHECK_AT,
    CODEC_AT,
    FENCED,
    FLAGS,
    FLAGS_AT,
    IDENTITY_AT,
    KEY_ID_SIZE,
    SIGNATURE_SIZE,
    STALE_TTL_AT,
    STAMPS_AT,
    TIMES_AT,
    UNFENCED_IDENTITY,
)
from unstale.core.stamps import STAMP_SIZE, Observed, equal, equal_but_softly
from unstale.events import Why

if TYPE_CHECKING:  # rarely wanted, and slow to import
    from unstale.core.signing import Begun, Signer

MAX_VERIFIED: Final = 1024
"""Entries that are remembered for each signer. When there are more, all are forgotten."""
MAX_VERIFIED_BYTES: Final = 4096
"""Of one of them: with their bodies they take 8 MiB at most."""


class Fresh(NamedTuple):
    """The entry may be served."""

    head: Head


class Unfit(NamedTuple):
    """The entry may not be served, for a reason other than a stamp. `head` is None where it cannot be read."""

    why: Why
    head: Head | None = None


class Outdated(NamedTuple):
    """A recorded stamp is not the tag's stamp any more."""

    tag: str
    head: Head


class SoftStale(NamedTuple):
    """Stale, but it may be served while it is loaded anew. `tag` was softly invalidated; None: only its ttl is over."""

    tag: str | None
    head: Head


class Unknown(NamedTuple):
    """The entry records tags whose stamps were not read: look at these as well, then judge again."""

    tags: tuple[str, ...]
    head: Head


Verdict: TypeAlias = Fresh | Unfit | Outdated | SoftStale | Unknown


def fresh_payload(
    data: bytes, expected: TagSet, names: bytes, stamps: Sequence[Observed], identity: bytes
) -> bytes | None:
    """The payload of a fresh, undamaged entry, or None where this quick look cannot say so.

    From the identity to the payload, an entry holds nothing that is not known beforehand (but the checksum, which
    follows from the payload): all of that is one comparison. The clock is left to the caller, for entries with TIMED.

    Args:
        data: the entry's bytes.
        expected: the tags that the entry should record, no more and no fewer.
        names: the expected tags' names and the key, each with its END, as the entry holds them.
        stamps: the stamps now: of the expected tags in order, then of the key's root.
        identity: of the connection that answered.
    """
    at = expected.names_at + len(names)
    if len(data) < at or not data.startswith(expected.shape):
        return None
    flags, codec, payload = data[FLAGS_AT], data[CODEC_AT], data[at:]
    check = crc32(b"" if codec == COUNTER else payload, codec).to_bytes(CHECK.size)  # `checksum`, without the calls
    try:
        known = b"".join((identity if flags & FENCED else UNFENCED_IDENTITY, check, *stamps, names))  # type: ignore[arg-type]
    except TypeError:  # a stamp is missing or closed
        return None
    if not data.startswith(known, IDENTITY_AT):  # up to the payload, if the stamps are as long as stamps are
        return None
    for stamp in stamps:
        if len(stamp) != STAMP_SIZE:  # type: ignore[arg-type]
            return None
    return payload if flags <= FLAGS else None


def fresh_body(
    data: bytes, expected: TagSet, names: bytes, stamps: Sequence[Observed], identity: bytes, signer: Signer
) -> bytes | None:
    """`fresh_payload` of a signed entry, verified: `Signer.opened_at` in the same steps. None where it cannot say so.

    Small entries are remembered when they are verified for the second time: what is then the same to the last byte,
    under the same stamps of the same server, is judged as it was. A comparison costs a twentieth of a signature.

    Args:
        data: the bytes of an entry with the flag SIGNED, which is no counter.
        expected: see `fresh_payload`.
        names: see `fresh_payload`.
        stamps: see `fresh_payload`.
        identity: see `fresh_payload`.
        signer: verifies it, and remembers.
    """
    same = (data, stamps, identity)
    known = signer.verified.get(names)
    if type(known) is tuple and known[0] == same:
        return known[1]
    body = _verified(data, expected, names, stamps, identity, signer.begun)
    if body is not None and len(data) <= MAX_VERIFIED_BYTES:
        if len(signer.verified) >= MAX_VERIFIED:
            signer.verified.clear()
        head = data[:IDENTITY_AT]
        signer.verified[names] = (same, body) if known == head else head  # bytes are nothing to the garbage collector
    return body


def _verified(
    data: bytes, expected: TagSet, names: bytes, stamps: Sequence[Observed], identity: bytes, begun: Begun
) -> bytes | None:
    """The same of an entry that is not remembered."""
    at = expected.names_at + len(names)
    if len(data) < at or not data.startswith(expected.shape):
        return None
    payload = data[at:]
    check = crc32(payload, data[CODEC_AT]).to_bytes(CHECK.size)
    try:
        known = b"".join((identity if data[FLAGS_AT] & FENCED else UNFENCED_IDENTITY, check, *stamps, names))  # type: ignore[arg-type]
    except TypeError:
        return None
    if not data.startswith(known, IDENTITY_AT):
        return None
    for stamp in stamps:
        if len(stamp) != STAMP_SIZE:  # type: ignore[arg-type]
            return None
    signing = begun.get(payload[:KEY_ID_SIZE])
    if signing is None:
        return None
    body, mac = payload[SIGNATURE_SIZE:], signing.copy()
    mac.update(data[:TIMES_AT] + data[STALE_TTL_AT:CHECK_AT] + data[STAMPS_AT:at])
    mac.update(body)
    return body if compare_digest(mac.digest(), payload[KEY_ID_SIZE:SIGNATURE_SIZE]) else None


def judge(  # noqa: PLR0913, PLR0917 - the rule's terms
    data: bytes | None,
    raw_key: bytes,
    wanted: Iterable[str],
    current: Mapping[str, Observed],
    identity: bytes,
    root: str,
    now: float = 0.0,
) -> Verdict:
    """Judge an entry.

    Args:
        data: its bytes (the payload may be missing); None where there are none.
        raw_key: the key that was asked for.
        wanted: the tags that the reader declared, ancestors included.
        current: the stamps that were read, by tag; the key's root is among them.
        identity: of the connection that answered.
        root: the name of the key's root.
        now: seconds since 1970, for entries whose ttl is not the server's alone.
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
    return _compare(head, root, current, now)


def _compare(head: Head, root: str, current: Mapping[str, Observed], now: float) -> Verdict:
    recorded = recorded_stamps(head, root)
    differing = [(tag, stamp) for tag, stamp in recorded if tag in current and not equal(stamp, current[tag])]
    hard = next((tag for tag, stamp in differing if not equal_but_softly(stamp, current[tag])), None)
    if hard is not None:
        return Outdated(hard, head)
    unknown = tuple(tag for tag, _ in recorded if tag not in current)
    if unknown:
        return Unknown(unknown, head)
    servable_until = head.created_at + head.ttl + head.stale_ttl
    if differing:
        tag = differing[0][0]
        return SoftStale(tag, head) if head.stale_ttl > 0 and now < servable_until else Outdated(tag, head)
    if head.timed and not now < head.created_at + head.ttl:  # so that nan, which no release stores, is over
        return SoftStale(None, head) if now < servable_until else Unfit(Why.EXPIRED, head)
    return Fresh(head)


def recorded_stamps(head: Head, root: str) -> tuple[tuple[str, bytes], ...]:
    """An entry's recorded tags with their stamps, the key's root last."""
    return tuple(zip((*head.tags, root), head.stamps, strict=True))


def names_blob(tagset: TagSet, raw_key: bytes) -> bytes:
    """The names as an entry with these tags and this key holds them."""
    return tagset.blob + raw_key + END
