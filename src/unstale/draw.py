"""Chance and tokens, from the operating system: preforked workers share `random`'s state."""

from __future__ import annotations

import os


def chance() -> float:
    """A number evenly drawn from above 0 to 1, in steps of 2**-53."""
    return ((int.from_bytes(os.urandom(8)) >> 11) + 1) / (1 << 53)


def token() -> str:
    """A name that nobody else has: 32 hexadecimal digits."""
    return os.urandom(16).hex()
