"""Chance, from the operating system: preforked workers share `random`'s state."""

from __future__ import annotations

import os


def chance() -> float:
    """A number evenly drawn from above 0 to 1, in steps of 2**-53."""
    return ((int.from_bytes(os.urandom(8)) >> 11) + 1) / (1 << 53)
