"""What the figures say: the table, the conclusion, the exit code. All is computed; nothing is known in advance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.table import Table

from demo.database import QUERY_SECONDS
from demo.figures import Figures
from demo.workload import ACTIONS, PAGE_SKEW, USER_SKEW, Load

OURS = "d"
ABOUT_EQUAL = (0.8, 1.25)
"""Ratios between these are no difference on a machine that does other things too."""


def verdict(told: Sequence[Figures]) -> int:
    """The exit code: 1 if unstale served a stale read, let an error through to a reader, or was not put to the test."""
    ours = _ours(told)
    if ours is None:
        return 0
    return int(ours.stale_reads > 0 or ours.read_errors > 0 or not _tested(ours))


def caption(load: Load, engine: str, *, own: bool) -> str:
    """What was run."""
    return (
        f"{engine}{', embedded' if own else ', at the given URL'} · {load.keys:,} keys: {load.users:,} users × "
        f"{load.pages} pages · open loop, {load.rate:,.0f} operations/s for {load.seconds:g} s, "
        f"{1 - ACTIONS:.0%} reads, {ACTIONS:.0%} user actions · users by Zipf {USER_SKEW}, pages by Zipf {PAGE_SKEW} · "
        f"{load.processes} client processes × {load.threads} threads · loader {QUERY_SECONDS * 1000:g} ms · "
        f"seed {load.seed}"
    )


def table(told: Sequence[Figures], caption: str) -> Table:
    """One row a variant. Eighty columns wide."""
    made = Table(caption=caption, box=box.SIMPLE_HEAD, show_edge=False, padding=0, caption_justify="left")
    made.add_column("variant", no_wrap=True)
    offered = f"ops/s\nof {told[0].offered_per_second:,.0f}"
    costs = ("engine\nµs/op", "engine\n% core", "read\np50 ms", "read\np99 ms")
    for head in (offered, *costs, "hit\nrate", "\nloads", "stale\nreads", "\nerrors"):
        made.add_column(head, justify="right", no_wrap=True)
    for one in told:
        made.add_row(*_row(one))
    return made


def _row(one: Figures) -> tuple[str, ...]:
    at_least = "" if one.held else "≥"  # reads that had not returned have waited for at least so long
    return (
        f"{one.variant} {one.title}",
        f"{one.achieved_per_second:,.0f}",
        f"{one.engine_us_per_operation:,.0f}",
        f"{one.engine_percent:.1f}",
        at_least + _milliseconds(one.read_p50_ms),
        at_least + _milliseconds(one.read_p99_ms),
        f"{one.hit_rate:.0%}",
        f"{one.loads:,}",
        f"{one.stale_reads:,}",
        f"{one.errors:,}",
    )


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def conclusion(told: Sequence[Figures]) -> list[str]:
    """What follows from the figures, a paragraph each."""
    parts = (_rates(told), _engine(told), _trips(told), _stale(told), _errors(told))
    return [part for part in parts if part]


def _rates(told: Sequence[Figures]) -> str:
    """Who could not keep up."""
    return " ".join(
        f"{_capital(one.title)} did not hold the offered rate: {one.achieved_per_second:,.0f} of "
        f"{one.offered_per_second:,.0f} operations/s. {one.unfinished:,} operations had not returned at the end; "
        f"{one.reads:,} reads and {one.actions:,} actions were completed."
        for one in told
        if not one.held
    )


def _engine(told: Sequence[Figures]) -> str:
    """What an operation costs the engine, against ours."""
    ours, others = _ours(told), _others(told)
    if ours is None or not others or not ours.engine_us_per_operation:
        return ""
    ratios = {one.title: one.engine_us_per_operation / ours.engine_us_per_operation for one in others}
    equal = [title for title, ratio in ratios.items() if ABOUT_EQUAL[0] <= ratio <= ABOUT_EQUAL[1]]
    cheaper = [title for title, ratio in ratios.items() if ratio < ABOUT_EQUAL[0]]
    each = ", ".join(f"{title} {_number(ratio)} × unstale" for title, ratio in ratios.items())
    said = [f"Engine CPU per completed operation: {each}."]
    if equal:
        said.append(f"Against {_and(equal)} that is about the same: no engine CPU is saved there.")
    if cheaper:
        said.append(f"So {_and(cheaper)} cost the engine less than unstale here.")
    return " ".join(said)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def _trips(told: Sequence[Figures]) -> str:
    """What the engine's CPU went into: being woken up for each round trip, and the commands."""
    each = ", ".join(f"{one.title} {_number(one.trips_per_operation)}" for one in told)
    most = ", ".join(f"{one.title} {_costliest(one)}" for one in told)
    return f"Round trips per completed operation: {each}. The command that took the engine most time: {most}."


def _costliest(one: Figures) -> str:
    return next(iter(one.command_us_per_operation), "none").upper()


def _stale(told: Sequence[Figures]) -> str:
    """Who served what nobody should be given any more."""
    counts = ", ".join(f"{one.title} {one.stale_reads:,} of {one.reads:,} reads" for one in told)
    clean = [one for one in _others(told) if one.stale_reads == 0]
    stuck = _and([one.title for one in clean if one.actions == 0])
    unseen = _and([one.title for one in clean if one.actions > 0])
    said = [f"Stale reads served: {counts}."]
    if stuck:
        said.append(f"With {stuck} there could be none: no invalidation returned.")
    if unseen:
        said.append(f"With {unseen} none was seen in this run; that proves nothing either way.")
    return " ".join([*said, *_promise(_ours(told))])


def _promise(ours: Figures | None) -> list[str]:
    """What became of unstale's promise."""
    if ours is None:
        return []
    if not _tested(ours):
        return ["unstale completed no read or no action: nothing was shown."]
    if ours.stale_reads:
        return ["unstale promises none: this is a bug of unstale's. Please report it, with the seed."]
    return ["unstale served none."]


def _errors(told: Sequence[Figures]) -> str:
    """What reached the callers."""
    failed = [one for one in told if one.errors]
    named = "; ".join(
        f"{one.title} {one.read_errors:,} in reads, {one.action_errors:,} in actions ({', '.join(one.error_names)})"
        for one in failed
    )
    return f"Errors that reached the caller: {named}." if failed else "No error reached a caller."


def _tested(one: Figures) -> bool:
    return one.reads > 0 and one.actions > 0


def _ours(told: Sequence[Figures]) -> Figures | None:
    return next((one for one in told if one.variant == OURS), None)


def _others(told: Sequence[Figures]) -> list[Figures]:
    return [one for one in told if one.variant != OURS]


def _and(titles: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(titles[:-1]), *titles[-1:])))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def write_json(path: Path, load: Load, engine: str, told: Sequence[Figures], exit_code: int) -> None:
    """Write all figures."""
    figures = {
        "server": engine,
        "load": asdict(load),
        "variants": [asdict(one) for one in told],
        "conclusion": conclusion(told),
        "exit_code": exit_code,
    }
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
