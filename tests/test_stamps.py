"""Stamps: what a reply under a stamp's name means, and when two are equal."""

from __future__ import annotations

import pytest

from unstale.core.stamps import CLOSED, HARD_SIZE, STAMP_SIZE, equal, observe

STAMP = bytes(range(STAMP_SIZE))


def test_open_stamp() -> None:
    """Sixteen bytes are an open stamp, as they are."""
    assert observe(STAMP) == STAMP


def test_missing_stamp() -> None:
    """No value is a missing stamp."""
    assert observe(None) is None


@pytest.mark.parametrize(
    "reply", [b"", b"x", STAMP[:-1], STAMP + b"x", STAMP * 2, "x" * 16, 16, [STAMP], bytearray(STAMP), Exception("no")]
)
def test_anything_else_is_closed(reply: object) -> None:
    """A value of another size or type is closed, never open."""
    assert observe(reply) is CLOSED


def test_equal_byte_for_byte() -> None:
    """A stamp equals itself."""
    assert equal(STAMP, bytes(STAMP))


@pytest.mark.parametrize("position", range(STAMP_SIZE))
def test_every_byte_counts(position: int) -> None:
    """A stamp that differs in any one byte, hard half or soft half, is another."""
    other = bytearray(STAMP)
    other[position] ^= 1
    assert not equal(STAMP, bytes(other))


@pytest.mark.parametrize("current", [None, CLOSED], ids=["missing", "closed"])
@pytest.mark.parametrize("recorded", [STAMP, b"", bytes(STAMP_SIZE)], ids=["stamp", "nothing", "zeros"])
def test_missing_and_closed_equal_nothing(recorded: bytes, current: object) -> None:
    """No recorded stamp, not even an empty one, equals a missing or closed one."""
    assert not equal(recorded, current)


def test_halves() -> None:
    """The hard half is one half."""
    assert HARD_SIZE * 2 == STAMP_SIZE
