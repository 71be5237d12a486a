"""A report for the terminal, eighty columns wide; in a narrow one with fewer figures.

Nothing is printed here, and nothing is judged: see `findings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from unstale.tools.doctor.results import Costs, Engine, Finding, Keyspace, Level, Monitored, Node, Range, Report
from unstale.tools.engine import ALARM_PERCENT
from unstale.tools.wording import DASH, count, duration, number, one_decimal, percent

BESIDE_STAMPS: Final = (
    "The whole engine with stamps: what else it does now, fills that run a script, and round trips that cost it more "
    "each when it has little to do, since it is woken for them."
)
STYLES: Final[dict[Level, str]] = {"serious": "bold red", "warning": "yellow", "info": "cyan"}
MOST_ROWS: Final = 8
"""Of a table: the JSON has more."""
NARROW_BELOW: Final = 60
"""Columns of a terminal."""
SHORTEST_NAME: Final = 12
"""Columns of a row's name, which may take several lines."""
_LITTLE: Final = 0.05


class _Figures:
    """A table of figures by name. In a narrow terminal it has fewer columns, so that its rows keep their names."""

    def __init__(self, title: str, *heads: str, narrow: tuple[int, ...]) -> None:
        """No rows yet.

        Args:
            title: above it.
            heads: of the figures' columns.
            narrow: of these, by their numbers, those that are there also in a narrow terminal.
        """
        self._title = title
        self._heads = heads
        self._narrow = narrow
        self._rows: list[tuple[str | Text, tuple[str, ...]]] = []

    def add_row(self, name: str | Text, *cells: str) -> None:
        """One figure for each head."""
        self._rows.append((name, cells))

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        made = Table(
            title=self._title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
        )
        made.add_column("", overflow="fold", vertical="bottom", min_width=SHORTEST_NAME)
        shown = self._narrow if options.max_width < NARROW_BELOW else range(len(self._heads))
        for place in shown:
            made.add_column(self._heads[place], justify="right", no_wrap=True, vertical="bottom")
        for name, cells in self._rows:
            made.add_row(name, *(cells[place] for place in shown))
        yield made


def renderables(report: Report) -> Iterator[RenderableType]:
    """All of it: each server, then what follows."""
    for node in report.nodes:
        yield from _of_node(node)
    yield _heading("What follows")
    if not report.findings:
        yield Text("Nothing to change.")
    for finding in report.findings:
        yield _of_finding(finding, of_many=len(report.nodes) > 1)


def _of_node(node: Node) -> Iterator[RenderableType]:
    yield _heading(" ".join(filter(None, (node.name, node.facts.name, _role(node)))))
    if node.status != "complete":
        yield Text(f"{node.status.capitalize()}: {node.why}", style="red")
    yield from map(Text, _lines(node))
    if node.engine is not None:
        yield _of_groups(node.engine)
        yield _of_commands(node.engine)
    if node.costs is not None:
        yield _of_costs(node.costs)
        yield Text(BESIDE_STAMPS, style="dim")
    if node.monitored is not None:
        yield from _of_monitored(node.monitored)
    if node.keyspace is not None and node.keyspace.shapes:
        yield _of_keyspace(node.keyspace)
    for one in node.refusals:
        yield Text(f"Not seen: {one.what}: {one.why}", style="yellow")


def _role(node: Node) -> str:
    return {"slave": "(replica)", "master": "", "": ""}.get(node.facts.role, f"({node.facts.role})")


def _lines(node: Node) -> Iterator[str]:
    """What is said in a line each."""
    engine, facts = node.engine, node.facts
    if engine is not None:
        side = "below" if engine.headroom >= 0 else "above"
        yield (
            f"Engine {one_decimal(engine.percent)} % of a core, {one_decimal(abs(engine.headroom))} points {side} the "
            f"alarm at {ALARM_PERCENT:.0f} %; watched for {engine.seconds:.1f} s"
        )
        yield (
            f"{count(engine.trips_per_second)} round trips/s of {duration(engine.us_per_trip)} outside of commands; "
            f"hit rate {percent(engine.hit_rate)}"
        )
    if facts.memory_bytes is not None:
        most = f"of {_size(facts.most_memory_bytes)}" if facts.most_memory_bytes else "no limit"
        yield f"Memory {_size(facts.memory_bytes)}, {most}; {facts.policy or 'policy unknown'}"
    if facts.clients is not None:
        yield f"Connections: {count(facts.clients)} of {count(facts.most_clients)}"
    if len(facts.databases) > 1 or (facts.databases and facts.database not in facts.databases):
        keys = ", ".join(f"{count(of)} in {number}" for number, of in sorted(facts.databases.items()))
        yield f"Keys by database: {keys}; the URL names {facts.database}"
    stamps = None if node.keyspace is None else node.keyspace.stamps
    if stamps is not None:
        yield (
            f"unstale: {count(stamps.entries)} entries sampled with {count(stamps.tags)} tags; of {stamps.looked_at} "
            f"stamps {stamps.missing} are gone, {stamps.short} go too early"
        )
    own = DASH if node.own_percent is None else f"at most {node.own_percent:.2f} % of a core"
    yield f"The doctor itself: {count(node.commands_sent)} commands, {own}"


def _of_groups(engine: Engine) -> _Figures:
    made = _Figures(
        "What the engine works for", "calls/s", "inside\n% of a core", "with trips\n% of a core", "share", narrow=(2,)
    )
    total = sum(one.percent for one in engine.groups)
    for one in engine.groups:
        share = one.percent / total if total else 0.0
        warns = one.name == "invalidation by pattern" and one.percent >= _LITTLE
        made.add_row(
            Text(one.name, style="red" if warns else ""),
            one_decimal(one.calls_per_second),
            f"{one.inside_percent:.2f}",
            f"{one.percent:.2f}",
            percent(share),
        )
    return made


def _of_commands(engine: Engine) -> _Figures:
    made = _Figures("Its dearest commands", "calls/s", "mean", "p50", "p99", "inside\n% of a core", narrow=(1, 4))
    for one in engine.commands[:MOST_ROWS]:
        made.add_row(
            one.name.upper(),
            one_decimal(one.calls_per_second),
            duration(one.us_per_call),
            duration(one.p50_us),
            duration(one.p99_us),
            f"{one.percent:.2f}",
        )
    return made


def _of_costs(costs: Costs) -> _Figures:
    made = _Figures(
        "Invalidation by pattern, and with stamps", "now", "with stamps", "at least – at most", narrow=(0, 1)
    )
    walks = costs.walks_per_second
    known = "counted" if costs.counted else "estimated"
    made.add_row(f"invalidations/s, {known}", number(walks.mid), number(walks.mid), _span(walks, number))
    made.add_row(
        "engine time of one",
        duration(costs.us_per_walk.mid),
        duration(costs.us_per_stamp.mid),
        _span(costs.us_per_stamp, duration),
    )
    made.add_row(
        "all of them, % of a core",
        f"{costs.now_percent * costs.by_pattern:.2f}",
        f"{costs.stamps_percent.mid:.2f}",
        _span(costs.stamps_percent, lambda one: f"{one:.2f}"),
    )
    made.add_row(
        "the whole engine, % of a core",
        f"{costs.engine_now_percent:.2f}",
        f"{costs.engine_percent.mid:.2f}",
        _span(costs.engine_percent, lambda one: f"{one:.2f}"),
    )
    made.add_row(
        "traffic up to the alarm, × now",
        number(ALARM_PERCENT / costs.engine_now_percent) if costs.engine_now_percent else DASH,
        number(costs.times_the_traffic.mid),
        _span(costs.times_the_traffic, number),
    )
    made.add_row(
        "part of this core that would do",
        percent(min(1.0, costs.engine_now_percent / ALARM_PERCENT)),
        percent(costs.core_needed.mid),
        _span(costs.core_needed, percent),
    )
    return made


def _of_monitored(told: Monitored) -> Iterator[RenderableType]:
    ended = "" if told.whole else ", ended early: too many"
    yield Text(
        f"MONITOR for {told.seconds:.1f} s: {count(told.commands)} commands{ended}; names deleted: "
        f"{count(told.deleted_by_pattern)} by pattern, {count(told.deleted_by_key)} by key; stamps written: "
        f"{count(told.stamps_written)}"
    )
    if told.patterns:
        made = _Figures(
            "Patterns that the keyspace was walked for", "command", "walks", "calls", "deleted", narrow=(0, 1)
        )
        for pattern in told.patterns[:MOST_ROWS]:
            cells = (count(pattern.walks), count(pattern.calls), count(pattern.deleted))
            made.add_row(Text(pattern.pattern), pattern.command, *cells)
        yield made
    if told.busiest:
        made = _Figures("Busiest names", "command", "calls/s", narrow=(0, 1))
        for busy in told.busiest[:MOST_ROWS]:
            made.add_row(Text(busy.shape), busy.command, one_decimal(busy.calls / told.seconds))
        yield made


def _of_keyspace(keyspace: Keyspace) -> _Figures:
    sampled = "all" if keyspace.whole else f"{count(keyspace.sampled)} sampled"
    made = _Figures(f"Its {count(keyspace.keys)} keys ({sampled})", "share", "bytes", "no ttl", "ttl s", narrow=(0, 1))
    for one in keyspace.shapes[:MOST_ROWS]:
        whose = "" if one.kind == "another's" else f" ({one.kind})"
        made.add_row(
            Text(f"{one.shape}{whose}"),
            percent(one.part),
            count(one.bytes_each),
            percent(one.without_ttl),
            count(one.ttl),
        )
    return made


def _of_finding(finding: Finding, *, of_many: bool) -> RenderableType:
    where = f" ({', '.join(finding.nodes)})" if of_many else ""
    said = Text.assemble(
        (finding.level, STYLES[finding.level]), " ", (f"{finding.says}{where}", "bold"), f" [{finding.id}]"
    )
    said.append(f"\n{finding.evidence}\n{finding.remedy}")
    return Padding(said, (0, 0, 1, 0))


def _heading(text: str) -> RenderableType:
    return Padding(Text(text, style="bold underline"), (1, 0, 0, 0))


def _span(one: Range, say: Callable[[float], str]) -> str:
    return f"{say(one.low)} – {say(one.high)}"


def _size(size: float | None) -> str:
    if size is None:
        return DASH
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
