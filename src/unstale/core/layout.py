"""Where things stand in an entry's bytes. The picture is in `entry`; here are its numbers, for all who need one."""

from __future__ import annotations

import struct
from typing import Final

from unstale.core.stamps import STAMP_SIZE

MAGIC: Final = b"\xf5\x01"
"""What every entry begins with: a byte that no UTF-8 text, JSON or RESP begins with, and the format's version."""

HEADER: Final = struct.Struct(">2sBHBBBdfff16sI")
FLAGS_AT: Final = 5
CODEC_AT: Final = 6
COMPRESSION_AT: Final = 7
TIMES_AT: Final = 8
TIMES: Final = struct.Struct(">df")
"""Created at and ttl: the part that `touch` writes anew."""
IDENTITY_AT: Final = 28
IDENTITY_SIZE: Final = 16
CHECK_AT: Final = 44
CHECK: Final = struct.Struct(">I")
STAMPS_AT: Final = HEADER.size

STALE_TTL_AT: Final = 20

FENCED: Final = 1
"""The flag that says: the server's identity counts."""
TIMED: Final = 2
"""The flag that says: look at the clock, the value may be refreshed early or served stale for a while."""
SIGNED: Final = 4
"""The flag that says: the payload begins with a signature."""
FLAGS: Final = FENCED | TIMED | SIGNED
PLAIN_FORMS: Final = (b"\1\0\0", b"\0\0\0")
"""Flags, codec and compression of entries whose payload is their value: raw bytes, fenced or not, nothing to undo."""
KEY_ID_SIZE: Final = 4
SIGNATURE_SIZE: Final = KEY_ID_SIZE + 16
"""What a signed payload begins with: which key, and the signature."""
UNFENCED_IDENTITY: Final = bytes(IDENTITY_SIZE)


def signed_forms(codec: int) -> tuple[bytes, ...]:
    """The same three bytes of entries that are signed, by this codec, and have nothing else to undo."""
    return bytes((FENCED | SIGNED, codec, 0)), bytes((SIGNED, codec, 0))


def shape(tag_count: int, blob_size: int) -> bytes:
    """The first five bytes of every entry with so many tags, whose names take so many bytes."""
    return MAGIC + struct.pack(">BH", tag_count, blob_size)


def size_of_stamps(tag_count: int) -> int:
    """Bytes of the recorded stamps, the root's included."""
    return STAMP_SIZE * (tag_count + 1)
