"""What is on the screen, in eighty columns, and what a key changes in it. Nothing is printed or asked here.

Where there are fewer than NARROW, each table has fewer, too.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from typing import Final, Literal, TypeAlias

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from unstale.tools.doctor.results import CommandCost, Engine
from unstale.tools.engine import ALARM_PERCENT
from unstale.tools.top.following import Frame
from unstale.tools.top.metrics import Counted, Untold
from unstale.tools.wording import DASH, count, duration, one_decimal, percent

Order: TypeAlias = Literal["cpu", "calls", "mean"]
ORDERS: Final[tuple[Order, ...]] = ("cpu", "calls", "mean")
"""Of the commands, in the order in which `s` goes through them."""
HISTORY: Final = 40
"""Windows of engine CPU that are drawn."""
BAR: Final = 40
"""Columns of a whole core."""
MOST_COMMANDS: Final = 6
MOST_TAGS: Final = 6
MOST_NODES: Final = 8
ROWS: Final = 16
"""Lines of all but the tags and the list of servers: title, engine, groups, the rest, keys; one is left free."""
NARROW: Final = 60
"""Columns of a terminal, below which tables show less."""
BESIDE_BAR: Final = 28
"""Columns that stand in its line."""
BESIDE_HISTORY: Final = 7
LITTLE: Final = 0.05
"""Percent of a core from which on invalidation by pattern is marked."""
KEYS: Final = "q quit   p pause   s sort   n next server"
_SPARKS: Final = " ▁▂▃▄▅▆▇█"


class View:
    """The state of the screen."""

    def __init__(self, target: str, *, has_metrics: bool, has_keys: bool = True) -> None:
        """Show nothing yet.

        Args:
            target: what is looked at.
            has_metrics: whether the application's page is read.
            has_keys: whether somebody may press one.
        """
        self._target = target
        self._has_keys = has_keys
        self._has_metrics = has_metrics
        self._frames: Sequence[Frame] = ()
        self._history: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=HISTORY))
        self._seen: dict[str, Engine | None] = {}
        self._counted: Counted | Untold = Untold.YET
        self._rates: Counted | None = None
        self._counted_at = 0.0
        self._chosen = 0
        self.order: Order = "cpu"
        self.paused = False
        self.over = False

    def press(self, keys: str) -> None:
        """Do what keys stand for; others do nothing."""
        for key in keys:
            match key:
                case "q" | "Q":
                    self.over = True
                case "p" | "P" | " ":
                    self.paused = not self.paused
                case "s" | "S":
                    self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
                case "n" | "N":
                    self._chosen += 1
                case _:
                    pass

    def show(self, frames: Sequence[Frame]) -> None:
        """Take what is newest of each server, unless it is paused."""
        if self.paused:
            return
        for frame in frames:
            if frame.engine is not None and self._seen.get(frame.name) is not frame.engine:
                self._history[frame.name].append(frame.engine.percent)
            self._seen[frame.name] = frame.engine
        self._frames = tuple(frames)

    def count(self, counted: Counted | Untold, at: float) -> None:
        """Take what the application has counted, at a second of the monotonic clock."""
        last, seconds = self._counted, at - self._counted_at
        self._rates = None
        if isinstance(counted, Counted) and isinstance(last, Counted) and seconds > 0:
            stale, refused = counted.stale - last.stale, counted.refused - last.refused
            if min(stale, refused) >= 0:
                self._rates = Counted(stale / seconds, refused / seconds)
        self._counted, self._counted_at = counted, at

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """All of it; of the tags as many as there is room for."""
        wide = options.max_width >= NARROW
        if not self._frames:
            yield Text("Waiting for the first figures.")
            return
        chosen = self._frames[self._chosen % len(self._frames)]
        yield self._title(chosen)
        if len(self._frames) > 1:
            yield self._nodes(chosen, wide=wide)
        if chosen.engine is None:
            yield Text(f"{chosen.trouble} Trying again.", style="red", overflow="fold")
        else:
            yield self._engine(chosen, chosen.engine, options.max_width)
            yield _beside(_groups(chosen.engine, wide=wide), self._commands(chosen.engine, wide=wide))
            yield self._lines(chosen, chosen.engine)
            nodes = min(len(self._frames), MOST_NODES) + 1 if len(self._frames) > 1 else 0
            yield from _tags(chosen, (options.height or console.height) - ROWS - nodes, wide=wide)
        if self._has_keys:
            yield Text(f"{KEYS}   (by {self.order})", style="dim")

    def _title(self, chosen: Frame) -> Text:
        paused = ("  PAUSED", "bold yellow") if self.paused else ""
        what = f"{chosen.about}  {count(chosen.keys)} keys  {chosen.memory_bytes / 2**20:,.1f} MiB"
        where = self._target if len(self._frames) == 1 else chosen.name
        return Text.assemble((where, "bold"), f"  {what if chosen.engine is not None else ''}", paused, overflow="fold")

    def _nodes(self, chosen: Frame, *, wide: bool) -> Table:
        heads = ("engine %", "hit rate", "deletes/s", "walk calls/s", "bumps/s")[: None if wide else 2]
        made = _table("server", *heads)
        busiest = sorted(self._frames, key=lambda one: -(one.engine.percent if one.engine is not None else 1000.0))
        for frame in busiest[:MOST_NODES]:
            style = "bold" if frame is chosen else ""
            if frame.engine is None:
                made.add_row(Text(frame.name, style=style), Text("away", style="red"), *[DASH] * (len(heads) - 1))
                continue
            cells = (
                Text(f"{frame.engine.percent:.1f}", style=_warns(frame.engine.percent)),
                percent(frame.engine.hit_rate),
                one_decimal(frame.engine.group("invalidation by key").calls_per_second),
                one_decimal(frame.engine.group("invalidation by pattern").calls_per_second),
                one_decimal(frame.changes_per_second),
            )
            made.add_row(Text(frame.name, style=style), *cells[: len(heads)])
        return made

    def _engine(self, frame: Frame, engine: Engine, width: int) -> Text:
        """The bar of the whole core with the alarm line, and what was before."""
        core = max(1, min(BAR, width - BESIDE_BAR))
        full, alarm = round(min(engine.percent, 100.0) / 100 * core), round(ALARM_PERCENT / 100 * core)
        bar = "".join("█" if at < full else "│" if at == alarm else "·" for at in range(core))
        before = list(self._history[frame.name])[-max(1, width - BESIDE_HISTORY) :]
        return Text.assemble(
            ("engine ", "dim"), (f"{engine.percent:5.1f} % ", _warns(engine.percent) or "bold"), bar,
            (f" alarm {ALARM_PERCENT:.0f} %", "dim"), "\n", ("before ", "dim"), spark(before),
        )  # fmt: skip

    def _lines(self, frame: Frame, engine: Engine) -> Text:
        """Hit rate, invalidations, and what the application says."""
        key, pattern = engine.group("invalidation by key"), engine.group("invalidation by pattern")
        walks = one_decimal(pattern.calls_per_second)
        said = [
            f"hit rate {percent(engine.hit_rate)}   trips {one_decimal(engine.trips_per_second)}/s",
            f"invalidations: DEL, UNLINK {one_decimal(key.calls_per_second)}/s   KEYS, SCAN {walks}/s",
            f"               stamps that changed {one_decimal(frame.changes_per_second)}/s, of {frame.watched} watched",
            self._of_application(),
        ]
        return Text("\n".join(said))

    def _of_application(self) -> str:
        if not self._has_metrics:
            return "stale reads, refused fills: not known to the server (see --metrics)"
        if self._rates is None:
            why = self._counted if isinstance(self._counted, Untold) else Untold.YET
            return f"stale reads, refused fills: the application's page {why.value}"
        return f"stale reads {one_decimal(self._rates.stale)}/s   refused fills {one_decimal(self._rates.refused)}/s"

    def _commands(self, engine: Engine, *, wide: bool) -> Table:
        made = _table("command", *(("calls/s", "mean", "% core") if wide else ("% core",)))
        for one in sorted(engine.commands, key=lambda one: -_by(self.order, one))[:MOST_COMMANDS]:
            cells = (one_decimal(one.calls_per_second), duration(one.us_per_call), f"{one.percent:.2f}")
            made.add_row(one.name.upper(), *(cells if wide else cells[-1:]))
        return made


def _by(order: Order, one: CommandCost) -> float:
    return {"cpu": one.percent, "calls": one.calls_per_second, "mean": one.us_per_call}[order]


def _groups(engine: Engine, *, wide: bool) -> Table:
    made = _table("for", *(("calls/s", "% core") if wide else ("% core",)))
    for one in engine.groups:
        style = "red" if one.name == "invalidation by pattern" and one.percent >= LITTLE else ""
        cells = (one_decimal(one.calls_per_second), f"{one.percent:.2f}")
        made.add_row(Text(one.name, style=style), *(cells if wide else cells[-1:]))
    return made


def _tags(frame: Frame, room: int, *, wide: bool) -> Iterator[RenderableType]:
    """The hottest tags, and where these figures come from; in so many lines."""
    most = min(MOST_TAGS, room - 2)
    if not frame.tags or most <= 0:
        return
    heads = ("changes seen", "entries sampled") if wide else ("changes",)
    made = _table("hottest tags", *heads)
    for one in frame.tags[:most]:
        cells = (count(one.changes), count(one.entries))[: len(heads)]
        made.add_row(Text(one.tag, overflow="ellipsis", no_wrap=True), *cells)
    yield made
    yield Text("From a sample of the keys, whose stamps are read after each window.", style="dim")


def _beside(left: Table, right: Table) -> Table:
    made = Table.grid(padding=(0, 1, 0, 0))
    made.add_row(left, right)
    return made


def _table(head: str, *heads: str) -> Table:
    made = Table(box=None, show_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    made.add_column(head, overflow="fold")
    for name in heads:
        made.add_column(name, justify="right", no_wrap=True)
    return made


def _warns(value: float) -> str:
    return "bold red" if value >= ALARM_PERCENT else ""


def spark(values: Sequence[float]) -> str:
    """Percentages as a row of bars, the newest at the right."""
    return "".join(_SPARKS[min(len(_SPARKS) - 1, max(0, round(value / 100 * (len(_SPARKS) - 1))))] for value in values)
