"""What is shown while a run goes on: where it is, what was struck last, and what the phases before gave.

A `View` is told what happens and makes a renderable of it; nothing here prints or decides when to draw.
"""

from __future__ import annotations

import time
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from unstale.tools.chaos.course import Tick
from unstale.tools.chaos.plan import Plan
from unstale.tools.chaos.results import Outcome, Results
from unstale.tools.chaos.table import table

SHOWN: Final = 12
"""So many of the outcomes before, at the most."""
SAYINGS: Final = {
    "starting": "starting servers, database, readers and writers",
    "load": "under load",
    "settling": "all is healed: what is queued is carried out, every key read",
    "judging": "judging",
}


class View:
    """The state of a run, as a person sees it. It is a `course.Watcher`."""

    def __init__(self, plan: Plan, turns: int) -> None:
        """Nothing has run yet.

        Args:
            plan: says how long a phase takes.
            turns: how many there will be.
        """
        self._plan, self._turns = plan, turns
        self._ended: list[Outcome] = []
        self._now: Outcome | None = None
        self._what, self._tick = "starting", Tick()
        self._begun_at = time.monotonic()

    def begins(self, outcome: Outcome) -> None:
        """See Watcher."""
        self._now, self._what, self._tick = outcome, "starting", Tick()

    def goes_on(self, what: str, tick: Tick | None = None) -> None:
        """See Watcher."""
        self._what, self._tick = what, tick or self._tick

    def ended(self, outcome: Outcome) -> None:
        """See Watcher."""
        self._ended.append(outcome)
        self._now = None

    def __rich__(self) -> RenderableType:
        """All of it, in at most 80 columns."""
        parts: list[RenderableType] = []
        if self._ended:
            parts += [table(Results(plan=self._plan, outcomes=self._ended[-SHOWN:])), Text()]
        if self._now is not None:
            parts += self._current(self._now)
        return Group(*parts)

    def _current(self, now: Outcome) -> list[RenderableType]:
        minutes, seconds = divmod(int(time.monotonic() - self._begun_at), 60)
        head = f"{len(self._ended) + 1} of {self._turns}  {minutes}:{seconds:02}  "
        tick, bar = self._tick, Table.grid(padding=(0, 1))
        bar.add_row(SAYINGS[self._what], ProgressBar(total=self._plan.seconds, completed=tick.seconds, width=20))
        return [
            Text.assemble(head, (now.phase, "bold"), f"  {now.subject}, seed {now.seed}\n{now.says}", overflow="fold"),
            bar,
            Text.assemble(
                ("reads ", "dim"), f"{tick.reads:,}", ("  writes ", "dim"), f"{tick.writes:,}",
                ("  faults ", "dim"), f"{tick.strikes:,}", ("  ", "dim"), tick.last, overflow="ellipsis", no_wrap=True,
            ),
        ]  # fmt: skip
