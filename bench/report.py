"""What a part of the bench returns: tables, targets, remarks. And how they look, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure that was measured several times.

    Attributes:
        values: one of each round.
        digits: decimals to show.
    """

    values: tuple[float, ...]
    digits: int = 2

    @property
    def middle(self) -> float:
        """The median."""
        return median(self.values)

    def __str__(self) -> str:
        """The median, and the range in which four fifths of the rounds lie."""
        ordered = sorted(self.values)
        cut = len(ordered) // 10
        low, high = ordered[cut], ordered[-1 - cut]
        return f"{self.middle:,.{self.digits}f} ({low:,.{self.digits}f}-{high:,.{self.digits}f})"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of figures under a title."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def text(self) -> str:
        """As lines of text."""
        columns = [self._column(at) for at in range(len(self.columns))]
        lines = ["  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
        return "\n".join([self.title, *lines])

    def _column(self, at: int) -> list[str]:
        values = [row[at] for row in self.rows]
        cells = [self.columns[at], *map(_shown, values)]
        width = max(map(len, cells))
        align = str.ljust if all(isinstance(value, str) for value in values) else str.rjust
        head, *rest = (align(cell, width) for cell in cells)
        return [head, "-" * width, *rest]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure that must not be above (or below) a limit.

    Attributes:
        what: the figure's meaning.
        value: what this run measured.
        limit: the most it may be, or with `at_least` the least.
        at_least: which of them.
        fatal: missing it makes the whole run fail: a promise is broken, not a speed.
    """

    what: str
    value: float
    limit: float
    at_least: bool = False
    fatal: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def text(self) -> str:
        """As one line."""
        sign = ">=" if self.at_least else "<="
        verdict = "met   " if self.met else "MISSED"
        return f"  {verdict}  {self.what}: {_number(self.value)} (target {sign} {_number(self.limit)})"


@dataclass(frozen=True, slots=True)
class Part:
    """One part's results."""

    name: str
    tables: tuple[Table, ...]
    targets: tuple[Target, ...] = ()
    remarks: tuple[str, ...] = ()

    def text(self) -> str:
        """As text, to be printed."""
        blocks = [table.text() for table in self.tables]
        if self.targets:
            blocks.append("\n".join(["Targets", *(target.text() for target in self.targets)]))
        blocks += self.remarks
        return "\n\n".join(blocks)

    def data(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "tables": [
                {
                    "title": table.title,
                    "rows": [dict(zip(table.columns, map(_plain, row), strict=True)) for row in table.rows],
                }
                for table in self.tables
            ],
            "targets": [
                {"what": one.what, "value": one.value, "limit": one.limit, "at_least": one.at_least, "met": one.met}
                for one in self.targets
            ],
            "remarks": list(self.remarks),
        }


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case int() | float():
            return _number(value)
        case _:
            return str(value)


def _number(value: float) -> str:
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _plain(value: object) -> object:
    return {"median": value.middle, "rounds": list(value.values)} if isinstance(value, Spread) else value
