"""What is shown while the lab runs: where it is, the second that has just passed, and what the variants before gave.

A `View` is told what happens and makes a renderable of it; nothing here prints or decides when to draw.
"""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from unstale.tools.engine import ALARM_PERCENT
from unstale.tools.lab.plan import Plan, Variant
from unstale.tools.lab.results import Figures, Outcome, Sample, figures
from unstale.tools.lab.tally import Second

BARS: Final = " ▁▂▃▄▅▆▇█"
HISTORY: Final = 30
"""Seconds of engine CPU that are drawn."""
SAYINGS: Final = {
    "server": "starting the server",
    "keyspace": "filling the cache",
    "site": "starting the shop",
    "idle": "looking at the idle engine",
    "load": "starting the load",
}


class View:
    """The state of a run, as a person sees it. It is a `run.Watcher`."""

    def __init__(self, plan: Plan) -> None:
        """Nothing has run yet."""
        self._plan = plan
        self._variant: Variant | None = None
        self._what = ""
        self._part: float | None = None
        self._load: Second | None = None
        self._engine: deque[float] = deque(maxlen=HISTORY)
        self._host = 0.0
        self._ended: list[tuple[Outcome, Figures]] = []
        self._begun_at = time.monotonic()

    def phase(self, variant: Variant, what: str, part: float | None = None) -> None:
        """See Watcher."""
        if variant is not self._variant:
            self._variant, self._load = variant, None
            self._engine.clear()
        self._what, self._part = what, part

    def second(self, variant: Variant, second: Second) -> None:
        """See Watcher."""
        del variant
        self._load = second

    def sample(self, variant: Variant, sample: Sample) -> None:
        """See Watcher."""
        del variant
        self._engine.append(100 * sample.engine_seconds / sample.seconds)
        self._host = sample.host_percent

    def ended(self, outcome: Outcome, plan: Plan) -> None:
        """See Watcher."""
        self._ended.append((outcome, figures(outcome, plan)))

    def __rich__(self) -> RenderableType:
        """All of it, in at most 80 columns."""
        parts: list[RenderableType] = []
        if self._ended:
            parts += [table_of(self._ended), Text()]
        if self._variant is not None:
            parts += [self._title(self._variant), *self._progress(), *self._now()]
        return Group(*parts)

    def _title(self, variant: Variant) -> Text:
        number = self._plan.variants.index(variant.name) + 1
        minutes, seconds = divmod(int(time.monotonic() - self._begun_at), 60)
        head = f"{number} of {len(self._plan.variants)}  {minutes}:{seconds:02}  "
        return Text.assemble(head, (variant.name, "bold"), f"\n{variant.stands_for}", overflow="fold")

    def _progress(self) -> list[RenderableType]:
        if self._load is None:
            return [_bar(SAYINGS[self._what], self._part)]
        total = self._plan.warm_seconds + self._plan.seconds
        done = min(total, max(0.0, self._plan.warm_seconds + self._load.second))
        if self._load.second < 0:
            what = "warming up"
        elif self._load.second <= self._plan.seconds:
            what = "measuring"
        else:
            what = "waiting for the last answers"
        return [_bar(what, done / total)]

    def _now(self) -> list[RenderableType]:
        if self._load is None:
            return []
        load = self._load
        engine = self._engine[-1] if self._engine else None
        p99 = "–" if load.p99 is None else f"{1000 * load.p99:,.0f} ms"
        hits = f"{load.hits / load.reads:.0%}" if load.reads else "–"
        return [
            Text.assemble(
                ("engine ", "dim"), _engine(engine), " ",
                (spark(self._engine), "cyan"), ("  host ", "dim"), "–" if engine is None else f"{self._host:.0f} %",
            ),
            Text.assemble(
                ("offered ", "dim"), f"{load.offered}/s", ("  completed ", "dim"), f"{load.completed}/s",
                ("  p99 ", "dim"), p99, ("  hits ", "dim"), hits,
                ("  stale ", "dim"), (str(load.stale), "bold red" if load.stale else ""),
                ("  errors ", "dim"), (str(load.errors), "bold red" if load.errors else ""),
            ),
        ]  # fmt: skip


def _engine(percent: float | None) -> tuple[str, str]:
    """Text and style; None: it is not looked at yet."""
    if percent is None:
        return "    –", ""
    return f"{percent:5.1f} %", "bold red" if percent >= ALARM_PERCENT else "bold"


def _bar(what: str, part: float | None) -> RenderableType:
    """What is going on, and how much of it is done, from 0 to 1; None: nobody knows."""
    row = Table.grid(padding=(0, 1))
    row.add_row(what, ProgressBar(total=1, completed=part, width=30) if part is not None else "…")
    return row


def table_of(ended: list[tuple[Outcome, Figures]]) -> Table:
    """What the variants gave that have ended, a line each."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for title in ("variant", "req/s", "engine %", "µs/action", "hits", "p99 ms", "stale"):
        table.add_column(title, justify="left" if title == "variant" else "right")
    for outcome, found in ended:
        if outcome.status != "complete":
            table.add_row(outcome.variant, Text(outcome.status, style="red"))
            continue
        p99 = found.read_latency.p99
        table.add_row(
            outcome.variant,
            Text(f"{found.rate:.1f}", style="" if found.held else "red"),
            Text(f"{found.engine_percent:.1f}", style="red" if found.engine_peak_percent >= ALARM_PERCENT else ""),
            "–" if found.engine_us_per_action is None else f"{found.engine_us_per_action:,.0f}",
            "–" if found.hit_rate is None else f"{found.hit_rate:.0%}",
            "none" if p99 is None else f"{1000 * p99:,.0f}",
            Text(str(found.stale), style="red" if found.stale else ""),
        )
    return table


def spark(percents: deque[float]) -> str:
    """A line of bars, a second each, up to a whole core."""
    return "".join(BARS[min(8, max(0, round(percent / 100 * 8)))] for percent in percents)
