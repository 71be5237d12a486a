"""The hash slots of Redis Cluster: which slot a name lies in, and a short name for each slot. Nothing of unstale's.

A slot is CRC16 of a name, or of what stands between its first braces, modulo 16384 (Redis Cluster's specification, "Key
distribution model" and "Hash tags"). `binascii.crc_hqx` is that CRC.
"""

from __future__ import annotations

from binascii import crc_hqx
from functools import cache
from itertools import product
from typing import Final

SLOTS: Final = 16384
_LETTERS: Final = b"@ABCDEFGHIJKLMNO"
"""Four of these reach every slot: they differ in four bits, and the CRC is linear in them."""
_SIZE: Final = 4


def slot_of(name: bytes) -> int:
    """The slot of a name."""
    start = name.find(b"{") + 1
    end = name.find(b"}", start) if start else -1
    return crc_hqx(name[start:end] if end > start else name, 0) % SLOTS


@cache
def _tags() -> bytes:
    """A hash tag for each slot, one after the other: made once, in about 25 ms, by a process that meets a cluster."""
    found: dict[int, bytes] = {}
    for letters in product(_LETTERS, repeat=_SIZE):
        tag = bytes(letters)
        found[crc_hqx(tag, 0) % SLOTS] = tag
    return b"".join(found[slot] for slot in range(SLOTS))


def tag_of_slot(slot: int) -> bytes:
    """What a name must have between its braces to lie in a slot; always the same."""
    return _tags()[_SIZE * slot : _SIZE * (slot + 1)]
