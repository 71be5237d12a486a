"""The tables of a run: for the terminal, eighty columns wide, and in Markdown. Nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from unstale.tools.chaos.judge import Counts
from unstale.tools.chaos.phases import PHASES
from unstale.tools.chaos.results import ZERO, Outcome, Results

DASH: Final = "–"
HEADS: Final = ("phase", "reads", "writes", "faults", "hits", "stale", "lost", "wrong", "phantom", "errors")
_NARROW: Final = {"hits": "hits\n%", "phantom": "phan-\ntom", "errors": "er-\nrors"}
_SUMMED: Final = ("reads", "hits", "loads", "calm_hits", "calm_loads", "writes", "older_than_visible", *ZERO)
_UNITS: Final = ((10_000_000, 1_000_000, " M"), (10_000, 1_000, " k"))
"""From which number on, in what, called how."""


@dataclass(frozen=True, slots=True)
class Line:
    """A phase with one subject, over all its seeds."""

    phase: str
    subject: str
    is_peer: bool
    outcomes: tuple[Outcome, ...]

    @property
    def name(self) -> str:
        """The phase's, or below it the peer's."""
        return f"  {self.subject}" if self.is_peer else self.phase

    @property
    def judged(self) -> list[Outcome]:
        """Those that have counts."""
        return [one for one in self.outcomes if one.status in {"complete", "interrupted"} and one.counts.reads]


def lines(results: Results) -> list[Line]:
    """What the tables have, in their order: each phase, then the peers that were put through it."""
    found: dict[tuple[str, bool, str], list[Outcome]] = {}
    for one in results.outcomes:
        found.setdefault((one.phase, one.is_peer, one.subject), []).append(one)
    order = {name: place for place, name in enumerate(dict.fromkeys(one.phase for one in results.outcomes))}
    ordered = sorted(found.items(), key=lambda one: (order[one[0][0]], one[0][1]))
    return [Line(phase, subject, is_peer, tuple(of)) for (phase, is_peer, subject), of in ordered]


def total(outcomes: Iterable[Outcome]) -> Counts:
    """Their counts added up, faults too."""
    found = Counts()
    for one in outcomes:
        for name in _SUMMED:
            setattr(found, name, getattr(found, name) + getattr(one.counts, name))
        for name, count in one.counts.strikes.items():
            found.strikes[name] = found.strikes.get(name, 0) + count
    return found


def table(results: Results) -> Table:
    """For the terminal."""
    made = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for head in HEADS:
        made.add_column(_NARROW.get(head, head), justify="left" if head == "phase" else "right", no_wrap=True)
    of = lines(results)
    for line in of:
        made.add_row(*_terminal_cells(line), style="dim" if line.is_peer else "")
    made.add_section()
    ours = [one for line in of if not line.is_peer for one in line.judged]
    made.add_row("in all, unstale", *_cells(total(ours), short=True))
    return made


def markdown(results: Results) -> str:
    """For a document."""
    rows = [HEADS, ("---", *["---:"] * (len(HEADS) - 1))]
    of = lines(results)
    for line in of:
        name = f"*{line.subject}*" if line.is_peer else f"`{line.phase}`"
        rows.append((name, *(_cells(total(line.judged), short=False) if line.judged else _none(line))))
    ours = [one for line in of if not line.is_peer for one in line.judged]
    rows.append(("**in all, unstale**", *_cells(total(ours), short=False)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def notes(results: Results) -> list[str]:
    """What must be said with the tables: what failed, what was left out, and what must not be."""
    found = []
    for one in results.outcomes:
        head = f"{one.phase}, {one.subject}, seed {one.seed}"
        if one.status != "complete":
            found.append(f"{head}: {one.status}: {one.reason}")
        elif one.phase in PHASES and PHASES[one.phase].by_name:
            found.append(
                f"{head}: {one.counts.effects.get('QUEUED', 0):,} invalidations were queued; all were carried out "
                f"{one.healed_seconds:.1f} s after the last fault."
            )
        if one.problems and not one.is_peer:
            found.append(f"{head}: {', '.join(one.problems)}")
            found += [f"    {kind}: {text}" for kind in ZERO for text in one.counts.examples.get(kind, [])]
    return found


def _terminal_cells(line: Line) -> list[str | Text]:
    if not line.judged:
        return [line.name, *_none(line)]
    counts = total(line.judged)
    cells: list[str | Text] = [line.name, *_cells(counts, short=True)]
    if not line.is_peer:
        for place, head in enumerate(HEADS):
            if head in ZERO and getattr(counts, head):
                cells[place] = Text(str(cells[place]), style="bold red")
    return cells


def _none(line: Line) -> Sequence[str]:
    return (line.outcomes[0].status, *[DASH] * (len(HEADS) - 2))


def _cells(counts: Counts, *, short: bool) -> list[str]:
    def number(value: int) -> str:
        return _short(value) if short else f"{value:,}"

    rate = counts.calm_hit_rate
    return [
        number(counts.reads),
        number(counts.writes),
        number(sum(counts.strikes.values())),
        DASH if rate is None else f"{100 * rate:.1f}" if short else f"{100 * rate:.1f} %",
        *(number(getattr(counts, name)) for name in ZERO),
    ]


def _short(value: int) -> str:
    for least, unit, sign in _UNITS:
        if value >= least:
            return f"{value / unit:,.0f}{sign}"
    return f"{value:,}"
