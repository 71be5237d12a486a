"""What the report says beside its charts: a run turned into the page's rows and sentences. Nothing is written here."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from unstale.tools.lab import results as lab_results
from unstale.tools.lab.plan import VARIANTS, Plan
from unstale.tools.lab.results import Results
from unstale.tools.lab.scale_chart import cuts
from unstale.tools.lab.scale_results import ScalePoint, ScaleResults
from unstale.tools.lab.told import Step, Told
from unstale.tools.wording import (
    DASH,
    count,
    duration,
    latency,
    less,
    milliseconds,
    number,
    one_decimal,
    percent,
    rate,
)

OPTIONS: Final[Mapping[str, str]] = MappingProxyType({
    "rate": "--rate",
    "seconds": "--seconds",
    "warm_seconds": "--warm",
    "actions": "--actions",
    "users": "--users",
    "keys": "--keys",
    "workers": "--workers",
    "threads": "--threads",
    "load_seconds": "--load-seconds",
    "seed": "--seed",
})  # fmt: skip
"""Of `unstale lab`, by the plan's field."""


@dataclass(frozen=True, slots=True)
class Row:
    """A name and what is said of it."""

    name: str
    value: str
    warns: bool = False
    """Whether it is a warning: a stale answer, a rate that was not held."""


HEADS: Final = (
    ("answered/s", "in time"),
    ("engine", "mean %"),
    ("engine", "peak %"),
    ("engine µs", "per action"),
    ("trips per", "request"),
    ("hit", "rate"),
    ("read p50", "ms"),
    ("read p99", "ms"),
    ("action p50", "ms"),
    ("stale", "answers"),
    ("", "errors"),
    ("no", "answer"),
)
"""Of the table of all steps, in the order of `cells`."""


def cells(step: Step) -> list[Row]:
    """A step's row in the table of all steps."""
    one = step.figures
    values = (
        (rate(one.rate), not one.held),
        (one_decimal(one.engine_percent), False),
        (one_decimal(one.engine_peak_percent), False),
        (count(one.engine_us_per_action), False),
        (one_decimal(one.trips_per_request), False),
        (percent(one.hit_rate), False),
        _quantile(one.read_latency.p50),
        _quantile(one.read_latency.p99),
        _quantile(one.action_latency.p50),
        (count(one.stale), one.stale > 0),
        (count(one.errors), one.errors > 0),
        (count(one.unanswered), one.unanswered > 0),
    )
    return [Row(" ".join(head), *value) for head, value in zip(HEADS, values, strict=True)]


def _quantile(seconds: float | None) -> tuple[str, bool]:
    return ("never", True) if seconds is None else (milliseconds(seconds), False)


def at_a_glance(run: Told) -> list[Row]:
    """The few figures at the top: unstale's against the baseline's. None without both of them."""
    base, ours = run.figures("baseline"), run.figures("unstale")
    if base is None or ours is None:
        return []
    rows = [
        Row("engine CPU, of a core", f"{base.engine_percent:.0f} % → {ours.engine_percent:.1f} %"),
        Row("requests/s answered in time", f"{rate(base.rate)} → {rate(ours.rate)}"),
        Row("stale answers of unstale", count(ours.stale), ours.stale > 0),
    ]
    if base.engine_us_per_action and ours.engine_us_per_action is not None:
        gain = less(ours.engine_us_per_action, base.engine_us_per_action)
        rows.insert(1, Row("engine CPU per action", gain))
    return rows


def main_figures(step: Step) -> list[Row]:
    """A step's own figures, where it is told."""
    one = step.figures
    return [
        Row("answered in time", f"{rate(one.rate)} of {rate(one.offered_rate)}/s", not one.held),
        Row("engine, mean / peak", f"{one.engine_percent:.1f} % / {one.engine_peak_percent:.1f} %"),
        Row("engine per action", duration(one.engine_us_per_action)),
        Row("hit rate", percent(one.hit_rate)),
        Row("reads, half / 99 %", f"{latency(one.read_latency.p50)} / {latency(one.read_latency.p99)}"),
        Row("stale answers", count(one.stale), one.stale > 0),
    ]


def shows(run: Told, step: Step) -> str:
    """What a step's figures show, in two or three sentences."""
    parts = {kind: spent for kind, spent in step.parts().items() if spent > 0}
    said = []
    if parts:
        main = max(parts, key=lambda kind: parts[kind])
        share = parts[main] / sum(parts.values())
        said.append(f"Of the engine's CPU {share:.0%} went into {main}.".replace("%", " %"))
    return " ".join([*said, *_cost(run, step), *_second(step), _stale(step)])


def _cost(run: Told, step: Step) -> list[str]:
    base, ours = run.figures("baseline"), step.figures.engine_us_per_action
    if base is None or step.name == "baseline" or not base.engine_us_per_action or ours is None:
        return []
    gain = less(ours, base.engine_us_per_action)
    return [f"An action cost the engine {gain} {'as' if 'as much' in gain else 'than'} in the baseline."]


def _second(step: Step) -> list[str]:
    """What the second server's engine did, which is in none of the other figures."""
    seconds = sum(sample.seconds for sample in step.outcome.second_node)
    if not seconds:
        return []
    spent = sum(sample.engine_seconds for sample in step.outcome.second_node)
    return [f"The second server's engine used {100 * spent / seconds:.1f} % of a core."]


def _stale(step: Step) -> str:
    one = step.figures
    if not one.stale:
        return "No answer was stale." if step.ours else "No stale answer was seen."
    what, who = ("answers were", ", the stalest") if one.stale > 1 else ("answer was", ",")
    most = f"{who} {one.most_behind} actions behind" if one.most_behind > 1 else ""
    return f"{count(one.stale)} {what} stale{most}."


@dataclass(frozen=True, slots=True)
class Growth:
    """What a call cost at the smallest size and at the largest, by method: a column for each panel of the curves."""

    heads: tuple[tuple[str, str], ...]
    """What was called, and by what it grew."""
    rows: tuple[tuple[str, tuple[str, ...]], ...]
    """A method, and its figures in the order of the heads."""


def growth(scale: ScaleResults) -> Growth:
    """The ends of the curves, as a table."""
    panels = [(panel, panel.lines()) for panel in cuts(scale)]
    methods = dict.fromkeys(method for _, lines in panels for method in lines)
    heads = [(panel.title, panel.subtitle) for panel, _ in panels]
    rows = [(method, tuple(_ends(lines.get(method, [])) for _, lines in panels)) for method in methods]
    return Growth(tuple(heads), tuple(rows))


def _ends(points: Sequence[ScalePoint]) -> str:
    if not points:
        return DASH
    first, last = points[0].engine_us, points[-1].engine_us
    times = f" ({number(last / first)} ×)" if first > 0 else ""
    return f"{duration(first)} → {duration(last)}{times}"


def begun(results: Results) -> str:
    """When the first of the steps began: UTC, to the minute; empty where it is not known."""
    at = next((one.begun_at for one in results.outcomes if one.begun_at), "")
    return datetime.fromisoformat(at).astimezone(UTC).strftime("%Y-%m-%d, %H:%M UTC") if at else ""


def definitions() -> list[str]:
    """What the figures mean, as `results` says it: with `code` and *emphasis* marked so."""
    told = (lab_results.__doc__ or "").split("\n- ")[1:]
    return [re.sub(r"\s+", " ", one).strip() for one in told]


def plan_rows(plan: Plan) -> list[Row]:
    """The load and the keyspace, in words."""
    return [
        Row("offered", f"{rate(plan.rate)} requests/s, open loop: at their times, whether or not others were answered"),
        Row("measured", f"{plan.seconds:g} s a step, after {plan.warm_seconds:g} s of the same load"),
        Row("requests", f"{100 * plan.actions:g} % user actions; of the reads {100 * plan.catalogue:g} % catalogue"),
        Row(
            "visits",
            f"{plan.together} requests of one user within {plan.together_seconds:g} s: reads and actions overlap",
        ),
        Row("users", f"{count(plan.users)}, by a Zipf law of exponent {plan.user_law:g}"),
        Row("pages", f"{plan.pages} a user, by a Zipf law of exponent {plan.page_law:g}"),
        Row("keys beforehand", f"{count(plan.keys)}, JSON pages of other users"),
        Row("site", f"gunicorn, {plan.workers} processes, {plan.threads} request(s) at a time in each"),
        Row("database", plan.database),
        Row("a load", f"takes {plan.load_seconds:g} s more once its rows were read: for what other applications ask"),
        Row("ttl", f"{count(plan.ttl)} s"),
        Row("waited for answers", f"{plan.grace_seconds:g} s after the end"),
        Row("server", server_of(plan)),
        Row("seed", str(plan.seed)),
    ]


def server_of(plan: Plan) -> str:
    """The server that was asked for; of a URL no user, no password and no host, since a report is passed on."""
    if "://" in plan.server:
        return f"a server of the user's own, by {urlsplit(plan.server).scheme}://"
    return "embedded" if plan.server == "embedded" else re.split(r"[/\\]", plan.server)[-1]


def command(plan: Plan) -> str:
    """The command that runs the same plan again."""
    usual = Plan()
    words = ["unstale", "lab"]
    if plan.variants != tuple(VARIANTS):
        words += [word for name in plan.variants for word in ("--variant", name)]
    if "://" in plan.server:
        words += ["--url", "URL", "--yes"]
    elif plan.server != usual.server:
        words += ["--server", server_of(plan)]
    for field, option in OPTIONS.items():
        value = getattr(plan, field)
        if value != getattr(usual, field):
            words += [option, f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(words)
