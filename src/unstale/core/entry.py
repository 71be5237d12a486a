"""The envelope: an entry's bytes. A fixed header, the recorded stamps, the names, then the payload.

     0  2   magic 0xF5 and the format's version       a reader refuses versions that it does not know
     2  1   n, the number of recorded tags            the key's own root comes on top
     3  2   length of the tags' names
     5  1   flags                                     FENCED, TIMED, SIGNED: see `layout`
     6  1   codec
     7  1   compression                               0: none
     8  8   created at, seconds since 1970            for people and for soft staleness; no part of the rule
    16  4   ttl, seconds                              infinity: until evicted or invalidated
    20  4   stale ttl, seconds                        how much longer the value may be served while it is loaded anew
    24  4   what the load took, seconds
    28 16   identity of the server whose stamps these are; zero where it does not count
    44  4   CRC-32 of the payload, begun with the codec   so that no damaged value passes; a counter has a fixed one
    48 16(n + 1)  the stamps, as they were before the load: of the tags in order, then of the key's root
     …      the tags' names and the key, each ended by a zero byte
     …      the payload; of a signed entry its signature first (`signing`)

48 bytes, 16 for every stamp, and the names. Integers are big-endian and unsigned (a counter is signed), seconds are
IEEE floats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import crc32

from unstale.core.codecs import COUNTER
from unstale.core.keys import END, MAX_TAGS, ROOT_MARK, TagSet, is_root
from unstale.core.layout import (
    CHECK,
    CHECK_AT,
    CODEC_AT,
    FENCED,
    FLAGS,
    HEADER,
    MAGIC,
    SIGNED,
    STAMPS_AT,
    TIMED,
    UNFENCED_IDENTITY,
    size_of_stamps,
)
from unstale.core.stamps import STAMP_SIZE
from unstale.errors import DecodeError

if TYPE_CHECKING:
    from unstale.core.signing import Signer


class UnreadableError(Exception):
    """These bytes are not an entry: foreign, cut short, or of a format that this release does not know."""


@dataclass(frozen=True, slots=True)
class Head:
    """Everything of an entry but its payload.

    Attributes:
        key: the whole key, as bytes.
        tags: the recorded tags, in order.
        stamps: their stamps, then the stamp of the key's root.
        fenced: whether the server's identity counts.
        timed: whether the clock counts: it may be refreshed early, or served stale.
        identity: of the server whose stamps these are.
        codec: number of the payload's codec.
        compression: number of the payload's compression; 0 for none.
        created_at: seconds since 1970.
        ttl: seconds fresh; infinite for no limit.
        stale_ttl: seconds more that it may be served stale.
        load_seconds: what the load took.
        size: where the payload begins.
    """

    key: bytes
    tags: tuple[str, ...]
    stamps: tuple[bytes, ...]
    fenced: bool
    timed: bool
    identity: bytes
    codec: int
    compression: int
    created_at: float
    ttl: float
    stale_ttl: float
    load_seconds: float
    size: int


def checksum(codec: int, payload: bytes | memoryview) -> int:
    """The checksum of a payload. A counter's is fixed, since a script counts in place, and Lua has no CRC."""
    return crc32(b"" if codec == COUNTER else payload, codec)


def payload_of(data: bytes, size: int) -> bytes:
    """The payload of an entry that may be served.

    Args:
        data: the entry's bytes.
        size: where its payload begins.

    Raises:
        DecodeError: it is damaged.
    """
    payload = data[size:]
    if not data.startswith(CHECK.pack(checksum(data[CODEC_AT], payload)), CHECK_AT):
        raise DecodeError("The payload is damaged.")
    return payload


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that is about to be stored: complete but for what is known only when it is sent.

    Attributes:
        raw_key: the whole key.
        tagset: its tags.
        codec: number of the payload's codec.
        payload: the value's bytes, before they are signed.
        created_at: seconds since 1970.
        ttl: seconds; infinite for no limit.
        load_seconds: what the load took.
        fenced: whether the server's identity counts.
        compression: number of the payload's compression; 0 for none.
        stale_ttl: seconds more that it may be served stale.
        timed: whether readers must look at the clock.
        signer: signs it; then all stamps must be known when it is sealed.
    """

    raw_key: bytes
    tagset: TagSet
    codec: int
    payload: bytes = field(repr=False)
    created_at: float
    ttl: float
    load_seconds: float
    fenced: bool
    compression: int = 0
    stale_ttl: float = 0.0
    timed: bool = False
    signer: Signer | None = None

    @property
    def life(self) -> float:
        """Seconds that the server keeps it."""
        return self.ttl + self.stale_ttl

    def seal(self, identity: bytes, stamps: tuple[bytes | None, ...]) -> bytes:
        """The entry's bytes, with an identity and the stamps; one yet unknown is left zero, for a script to fill in."""
        tagset, payload = self.tagset, self.payload
        start = HEADER.pack(
            MAGIC,
            len(tagset.tags),
            len(tagset.blob),
            self.fenced * FENCED | self.timed * TIMED | (self.signer is not None) * SIGNED,
            self.codec,
            self.compression,
            self.created_at,
            self.ttl,
            self.stale_ttl,
            self.load_seconds,
            identity if self.fenced else UNFENCED_IDENTITY,
            0,
        )[:CHECK_AT]
        filled = b"".join(bytes(STAMP_SIZE) if stamp is None else stamp for stamp in stamps)
        names = b"".join((tagset.blob, self.raw_key, END))
        if self.signer is not None:
            payload = self.signer.sign(b"".join((start, bytes(CHECK.size), filled, names)), payload)
        return b"".join((start, CHECK.pack(checksum(self.codec, payload)), filled, names, payload))


def parse(data: bytes) -> Head:
    """Read the head of an entry. The payload need not be there.

    Raises:
        UnreadableError: whatever does not follow the layout to the letter.
    """
    if len(data) < STAMPS_AT or data[:2] != MAGIC:
        raise UnreadableError
    _, count, blob_size, flags, codec, compression, *times, identity, _ = HEADER.unpack_from(data)
    created_at, ttl, stale_ttl, load = times
    names_at = STAMPS_AT + size_of_stamps(count)
    key_at = names_at + blob_size
    end = data.find(END, key_at)
    if flags & ~FLAGS or end < 0 or (not flags & FENCED and identity != UNFENCED_IDENTITY):
        raise UnreadableError
    return Head(
        key=data[key_at:end],
        tags=_names(data[names_at:key_at], count),
        stamps=tuple(data[at : at + STAMP_SIZE] for at in range(STAMPS_AT, names_at, STAMP_SIZE)),
        fenced=bool(flags & FENCED),
        timed=bool(flags & TIMED),
        identity=identity,
        codec=codec,
        compression=compression,
        created_at=created_at,
        ttl=ttl,
        stale_ttl=stale_ttl,
        load_seconds=load,
        size=end + 1,
    )


def _names(blob: bytes, count: int) -> tuple[str, ...]:
    parts = blob.split(END)
    if parts.pop() or len(parts) != count:
        raise UnreadableError
    try:
        names = tuple(part.decode() for part in parts)
    except UnicodeDecodeError as error:
        raise UnreadableError from error
    plain = [name for name in names if not is_root(name)]
    if len(plain) > MAX_TAGS or any(name.startswith(ROOT_MARK) for name in plain) or list(names) != sorted({*names}):
        raise UnreadableError
    return names
