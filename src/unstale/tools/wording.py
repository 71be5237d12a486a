"""How a figure is written: one way for the table, the conclusions, the charts and the page. No figure is computed here.

What was not measured is written as DASH, never as 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, TypeAlias

DASH: Final = "–"
"""What stands where there is no figure."""
Decimals: TypeAlias = tuple[tuple[float, int], ...]
"""From which size on a number has how many decimals; the largest size first."""
_ONE: Final[Decimals] = ((1000, 0), (0, 1))
_MILLISECONDS: Final[Decimals] = ((100, 0), (0, 1))
_THREE_FIGURES: Final[Decimals] = ((100, 0), (10, 1), (0, 2))
_RATIO: Final[Decimals] = ((10, 0), (2, 1), (0, 2))
_PERCENT_LESS: Final[Decimals] = ((99, 2), (90, 1), (-math.inf, 0))
"""99.9 % and 99.99 % less are ten times apart, 50 % and 51 % are not."""
_UNITS: Final = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"))
_BYTE: Final = 0xFF
_TWICE: Final = 2.0
"""From here on, more is said as a ratio."""


def printable(text: str) -> str:
    """A text from elsewhere, on one line: whatever cannot be shown is escaped, so no terminal obeys it."""
    return text if text.isprintable() else "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) <= _BYTE else char.encode("unicode_escape", "surrogatepass").decode()


def count(value: float | None) -> str:
    """A whole number, with its thousands apart."""
    return DASH if value is None else f"{value:,.0f}"


def one_decimal(value: float | None) -> str:
    """A number with one decimal, from 1,000 on with none."""
    return DASH if value is None else _rounded(value, _ONE)


def rate(value: float) -> str:
    """Requests a second; a whole number without its decimal."""
    return f"{value:,.1f}".removesuffix(".0")


def percent(part: float | None) -> str:
    """A part of 1 as a percentage with one decimal."""
    return DASH if part is None else f"{100 * part:.1f} %"


def milliseconds(seconds: float | None) -> str:
    """Seconds as milliseconds, without the unit: three figures say enough."""
    return DASH if seconds is None else _rounded(1000 * seconds, _MILLISECONDS)


def duration(microseconds: float | None) -> str:
    """Microseconds, in the unit that suits them."""
    if microseconds is None:
        return DASH
    size, unit = next((one for one in _UNITS if microseconds >= one[0]), _UNITS[-1])
    return f"{_rounded(microseconds / size, _THREE_FIGURES)} {unit}"


def latency(seconds: float | None) -> str:
    """A quantile of latency; None is one that falls among the requests that had no answer."""
    return "no answer" if seconds is None else duration(1e6 * seconds)


def less(ours: float, theirs: float) -> str:
    """How much less ours is, or how much more. Rounded so that it never claims more than was measured.

    Args:
        ours: at least 0.
        theirs: above 0.
    """
    gain = 100 * (1 - ours / theirs)
    digits = _decimals(gain, _PERCENT_LESS)
    scale = 10**digits
    floored = math.floor(gain * scale + 1e-9) / scale
    if floored > 0:
        return f"{floored:.{digits}f} % less"
    if ours >= _TWICE * theirs:
        return f"{number(ours / theirs)} times as much"
    return f"{math.ceil(-gain - 1e-9)} % more" if ours > theirs else "as much"


def number(value: float) -> str:
    """A ratio."""
    return _rounded(value, _RATIO)


def listed(parts: Sequence[str]) -> str:
    """Names in a row: a, b and c."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))


def _rounded(value: float, decimals: Decimals) -> str:
    return f"{value:,.{_decimals(value, decimals)}f}"


def _decimals(value: float, decimals: Decimals) -> int:
    return next((digits for size, digits in decimals if value >= size), decimals[-1][1])
