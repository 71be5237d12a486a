"""The tables of a verification, for a terminal of eighty columns. Nothing is printed here."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from unstale.core.verified import BOUNDS, Counts, Verification
from unstale.tools.verify.wording import percent, shown, sure, within

KIND_HEADS = ("kind of key", "judged", "same", "settled", "lost", "un-\nsettled", "not\njudged")


def kinds_table(verification: Verification) -> Table:
    """How reads ended, by kind of key; the worst first."""
    made = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for head in KIND_HEADS:
        is_kind = head == KIND_HEADS[0]
        made.add_column(head, justify="left" if is_kind else "right", overflow="fold", no_wrap=not is_kind)
    rows = sorted(verification.kinds.items(), key=lambda one: (-one[1].lost, -one[1].differed, one[0]))
    for kind, counts in rows:
        made.add_row(*_cells(kind, counts))
    made.add_section()
    made.add_row(*_cells("in all", verification.total))
    return made


def _cells(kind: str, counts: Counts) -> list[str | Text]:
    unjudged = counts.unrepeatable + counts.failed + counts.skipped
    numbers = (counts.judged, counts.same, sum(counts.settled), counts.lost, counts.unsettled, unjudged)
    name = shown(kind)
    cells: list[str | Text] = [Text(f"{name} (never the same)" if counts.always_differs else name)]
    cells += [f"{number:,}" for number in numbers]
    if counts.lost:
        cells[4] = Text(f"{counts.lost:,}", style="bold red")
    return cells


def shares_table(verification: Verification, confidence: float) -> Table:
    """The share of reads that were consistent within each time."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for head in ("consistent", "sampled reads", "of them", f"of all, at least ({sure(confidence)})"):
        made.add_column(head, justify="left" if head == "consistent" else "right")
    for seconds in (0.0, *BOUNDS):
        share = verification.consistent_within(seconds, confidence)
        found = "–" if share.found is None else percent(share.found)
        made.add_row(within(seconds), f"{share.good:,} of {share.judged:,}", found, percent(share.least))
    return made
