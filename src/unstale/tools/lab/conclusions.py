"""What follows from the figures of a run: sentences, all computed, and how each stands to the article and our targets.

No result is known in advance here: the same sentence is written whichever way a figure came out. What was not measured
is said to be so. The story's claims are the article's; the targets are unstale's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from unstale.tools.lab.results import Figures, Results
from unstale.tools.lab.told import Step, Told, names, told
from unstale.tools.wording import (
    count,
    duration,
    latency,
    less,
    listed,
    one_decimal,
    percent,
    rate,
)

Verdict: TypeAlias = Literal["met", "missed", "told", "not measured"]
"""`told`: a figure that nothing was claimed about."""

IMPROVEMENTS: Final = {
    "hiredis": "Parsing with hiredis",
    "bigger-scans": "Bigger SCANs",
    "pipelined-deletes": "Deletes in one pipeline",
    "async-deletes": "Deletes in a task",
}
"""The article's small ones, with the one that django-redis has for this, and what each is called."""
BUSY: Final = 80.0
"""Engine CPU, in percent of a core, above which the article's alarm story begins: its bigger node peaked at 83 %."""
LITTLE: Final = 0.2
"""A change by less than this part is little: of the engine's CPU, or, where a rate is not held, of the offered rate."""
ARTICLE_LESS: Final = 0.95
"""The article's claim: over 95 % less CPU."""
TARGET_LESS: Final = 0.999
"""Ours: so much less engine CPU per completed action than the baseline's."""
MOST_REASONS: Final = 3
"""So many reasons of a variant's errors are told."""
FULL: Final = 95.0
"""Host CPU, in percent of all cores, from which on the machine itself may be what is measured."""
ALIKE: Final = 0.1
"""Two costs that differ by less than this part are about the same: one run has no measure of its noise."""
ENOUGH: Final = 100
"""Reads from which on a part of them, or that none was stale, says anything."""
TARGET_POINTS: Final = 2.0
"""Ours: the hit rate is within so many percentage points of that of time stamps."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that the figures say."""

    about: str
    """The question that it answers, in a few words."""
    verdict: Verdict
    text: str


def conclusions(results: Results) -> list[str]:
    """The findings as sentences, each a paragraph."""
    return [finding.text for finding in summed_up(findings(results))]


def findings(results: Results) -> list[Finding]:
    """All that is found, in the order of the story. A step that was interrupted is no ground for a finding."""
    run = told(results)
    cut = {step.name for step in run.steps if step.outcome.status == "interrupted"}
    kept = tuple(step for step in run.steps if step.name not in cut)
    missing = tuple(name for name in run.plan.variants if name in cut or name in run.missing)
    return list(_all(replace(run, steps=kept, missing=missing)))


def summed_up(found: Sequence[Finding]) -> list[Finding]:
    """The same, with all that was not measured as one finding at the end: a run of a few variants leaves much open."""
    kept = [finding for finding in found if finding.verdict != "not measured"]
    left_out = [finding.text.removesuffix(".") for finding in found if finding.verdict == "not measured"]
    if left_out:
        kept.append(Finding("Left open", "not measured", f"Not measured: {'; '.join(left_out)}."))
    return kept


def _all(run: Told) -> Iterator[Finding]:
    yield _rates(run)
    yield _baseline(run)
    yield _change(run, "bigger-node", "Scale up")
    yield _change(run, "second-node", "Scale out")
    yield from _improvements(run)
    yield _article_less(run, "no-deletes", "Without deletes")
    yield _article_less(run, "timestamps", "The article's time stamps")
    yield _target_less(run)
    yield _against_timestamps(run)
    yield _against_known_keys(run)
    yield _hit_rate(run)
    yield _strict(run)
    yield _smaller_node(run)
    yield _stale_of_others(run)
    yield _stale_of_ours(run)
    yield _errors(run)


def _rates(run: Told) -> Finding:
    about = "The offered rate"
    if not run.measured:
        return Finding(about, "not measured", "No variant was measured.")
    offered = rate(run.plan.rate)
    held = [step for step in run.measured if step.figures.held]
    broke = [step for step in run.measured if not step.figures.held]
    said = []
    if held:
        said.append(f"{listed(names(held))} held the offered {offered} requests/s.")
    if broke:
        each = listed([f"{step.name} {rate(step.figures.rate)}/s" for step in broke])
        said.append(f"The others did not: {each}." if held else f"None held the offered {offered} requests/s: {each}.")
    full = [step.name for step in broke if step.figures.host_percent >= FULL]
    if full:
        said.append(f"This machine's cores were full with {listed(full)}: what limited them need not be the engine.")
    late = [step.name for step in run.measured if step.figures.offered_late]
    if late:
        said.append(f"This machine could not offer it to {listed(late)}: their figures are of a lower rate.")
    without = [step.name for step in run.steps if not step.measured] + list(run.missing)
    if without:
        said.append(f"Not measured: {listed(without)}.")
    return Finding(about, "told", " ".join(said))


def _baseline(run: Told) -> Finding:
    about = "The alarm"
    base = run.figures("baseline")
    if base is None:
        return _not_measured(about)
    what = f"baseline used {_engine(base)} of a core in the engine, at {rate(base.rate)} of {rate(base.offered_rate)}"
    if base.engine_percent >= BUSY:
        return Finding(about, "met", f"{what} requests/s: as in the article, deletes by pattern fill the node.")
    if not base.held:
        walked = base.percent_by_class["scans"] / base.engine_percent if base.engine_percent else 0.0
        return Finding(
            about,
            "told",
            f"{what} requests/s: it did not hold the rate, though the engine was below the {BUSY:.0f} % of the "
            f"article's story. Its deletes walk the keyspace by so many round trips that the application, too, is "
            f"busy with them (the host was at {base.host_percent:.0f} %); {percent(walked)} of the engine went into "
            "scans.",
        )
    short = f"below the {BUSY:.0f} % at which the article's story begins, by {BUSY - base.engine_percent:.0f} points"
    return Finding(about, "missed", f"{what} requests/s: {short}, and it held the rate.")


def _change(run: Told, name: str, about: str) -> Finding:
    """What more hardware changed; the article says: nearly nothing."""
    base, other = run.figures("baseline"), run.figures(name)
    if base is None or other is None:
        return _not_measured(about)
    what = (
        f"{name} used {_engine(other)} of a core in the engine ({_engine(base)} in the baseline) and completed "
        f"{rate(other.rate)} of {rate(other.offered_rate)} requests/s ({rate(base.rate)}). {_costs(base, other)}"
    )
    if _changed(base, other):
        return Finding(about, "missed", f"{what} That is more than little, unlike in the article.")
    return Finding(about, "met", f"{what} As in the article, that changes little.")


def _changed(base: Figures, other: Figures) -> bool:
    """Whether it made a difference that somebody would notice."""
    if base.held and other.held:
        return abs(other.engine_percent - base.engine_percent) > LITTLE * base.engine_percent
    return base.held != other.held or abs(other.rate - base.rate) > LITTLE * base.offered_rate


def _costs(base: Figures, other: Figures) -> str:
    if base.engine_us_per_action is None or other.engine_us_per_action is None:
        return "What an action cost cannot be said, since none was answered in time with one of them."
    return f"An action took {_per_action(other)} of the engine ({_per_action(base)})."


def _improvements(run: Told) -> Iterator[Finding]:
    """hiredis, one pipeline, and tasks: kept in the article, and no help to the engine."""
    base = run.figures("baseline")
    for name, about in IMPROVEMENTS.items():
        other = run.figures(name)
        if base is None or other is None:
            yield _not_measured(about)
            continue
        yield Finding(
            about,
            "told",
            f"{name} used {_engine(other)} of a core in the engine ({_engine(base)} in the baseline) and completed "
            f"{rate(other.rate)} requests/s ({rate(base.rate)}); {_half_of_actions(other)} "
            f"(in the baseline {_half_of_actions(base)}).",
        )


def _article_less(run: Told, name: str, about: str) -> Finding:
    """Over 95 % less CPU than the deletes: the article's result."""
    return _less(run, name, about, ARTICLE_LESS, "the article's “over 95 % less”")


def _target_less(run: Told) -> Finding:
    return _less(run, "unstale", "unstale against the baseline", TARGET_LESS, "our target of 99.9 % less")


def _less(run: Told, name: str, about: str, target: float, called: str) -> Finding:
    base, other = run.figures("baseline"), run.figures(name)
    if base is None or other is None:
        return _not_measured(about)
    if not base.engine_us_per_action or other.engine_us_per_action is None:
        stuck = "the baseline" if not base.engine_us_per_action else name
        text = f"Engine CPU per completed action of {name} against the baseline cannot be told: {stuck} completed none."
        return Finding(about, "not measured", text)
    what = (
        f"Engine CPU per completed action: {name} {_per_action(other)}, baseline {_per_action(base)}: "
        f"{less(other.engine_us_per_action, base.engine_us_per_action)}."
    )
    if 1 - other.engine_us_per_action / base.engine_us_per_action >= target:
        return Finding(about, "met", f"{what} That reaches {called}.")
    most = duration((1 - target) * base.engine_us_per_action)
    none = run.figures("no-deletes")
    reads = (
        f" The reads between two actions are in it: no-deletes, which invalidates nothing, took {_per_action(none)}."
        if none is not None and none.engine_us_per_action is not None and name != none.variant
        else ""
    )
    return Finding(about, "missed", f"{what} That misses {called}, for which it had to be at most {most}.{reads}")


def _against_timestamps(run: Told) -> Finding:
    about = "unstale against time stamps"

    def judged(ours: float, theirs: float) -> tuple[Verdict, str]:
        if ours <= theirs:
            return "met", "Our target, at or under time stamps, is met."
        missed = f"Our target, at or under time stamps, is missed by {duration(ours - theirs)} an action"
        if ours - theirs <= ALIKE * theirs:
            return "missed", f"{missed}: about the same, within what one run can tell."
        return "missed", f"{missed}."

    return _against(run, "timestamps", about, judged)


def _against_known_keys(run: Told) -> Finding:
    """Nothing is promised here; it is said as plainly, whichever way it is."""

    def judged(ours: float, theirs: float) -> tuple[Verdict, str]:
        if abs(ours - theirs) <= ALIKE * theirs:
            return "told", "That is about the same, within what one run can tell."
        if ours <= theirs:
            return "told", "So unstale costs the engine less than deleting keys that one knows."
        return "told", "So deleting keys that one knows costs the engine less than unstale."

    return _against(run, "known-keys", "unstale against known keys", judged)


def _against(run: Told, name: str, about: str, judged: Callable[[float, float], tuple[Verdict, str]]) -> Finding:
    ours, other = run.figures("unstale"), run.figures(name)
    if ours is None or other is None:
        return _not_measured(about)
    if ours.engine_us_per_action is None or not other.engine_us_per_action:
        return Finding(about, "not measured", f"Engine CPU of {about} cannot be told: no action was completed.")
    verdict, text = judged(ours.engine_us_per_action, other.engine_us_per_action)
    what = (
        f"Engine CPU per completed action: unstale {_per_action(ours)}, {name} {_per_action(other)}: "
        f"{less(ours.engine_us_per_action, other.engine_us_per_action)}. Round trips per request: "
        f"{one_decimal(ours.trips_per_request)} and {one_decimal(other.trips_per_request)}."
    )
    if not (ours.held and other.held):
        text += f" Not both held the rate: {count(ours.actions)} and {count(other.actions)} actions were completed."
    return Finding(about, verdict, f"{what} {text}")


def _hit_rate(run: Told) -> Finding:
    about = "Hit rate"
    ours, other = run.figures("unstale"), run.figures("timestamps")
    if ours is None or other is None:
        return _not_measured(about)
    if ours.hit_rate is None or other.hit_rate is None or min(ours.reads, other.reads) < ENOUGH:
        few = f"{count(ours.reads)} and {count(other.reads)} histories were read"
        return Finding(about, "not measured", f"Hit rates cannot be compared: {few}, and {ENOUGH} are wanted")
    points = 100 * (ours.hit_rate - other.hit_rate)
    way = "above" if points >= 0 else "below"
    what = (
        f"Hit rate: unstale {percent(ours.hit_rate)}, time stamps {percent(other.hit_rate)}: "
        f"{abs(points):.1f} points {way}."
    )
    if points >= -TARGET_POINTS:
        return Finding(about, "met", f"{what} Our target, at most {TARGET_POINTS:.0f} points below, is met.")
    over = -points - TARGET_POINTS
    return Finding(about, "missed", f"{what} That is {over:.1f} points outside our target of {TARGET_POINTS:.0f}.")


def _strict(run: Told) -> Finding:
    about = "unstale-strict"
    ours, strict = run.figures("unstale"), run.figures("unstale-strict")
    if ours is None or strict is None:
        return _not_measured(about)
    return Finding(
        about,
        "told",
        f"unstale-strict took {_per_action(strict)} of the engine an action (unstale {_per_action(ours)}), "
        f"{one_decimal(strict.trips_per_request)} round trips a request ({one_decimal(ours.trips_per_request)}), and "
        f"half of its actions were answered within {latency(strict.action_latency.p50)} "
        f"({latency(ours.action_latency.p50)}).",
    )


def _smaller_node(run: Told) -> Finding:
    about = "Scale down"
    small = run.figures("smaller-node")
    if small is None:
        return _not_measured(about)
    what = (
        f"smaller-node answered {rate(small.rate)} of {rate(small.offered_rate)} requests/s, its engine at "
        f"{_engine(small)} of a core, and 99 % of its reads within {latency(small.read_latency.p99)}."
    )
    if small.held:
        return Finding(about, "met", f"{what} As in the article, the node can be scaled down.")
    return Finding(about, "missed", f"{what} It did not hold the rate, unlike in the article.")


def _stale_of_others(run: Told) -> Finding:
    """Who served what nobody should be given any more; none seen proves nothing."""
    about = "Stale answers"
    others = [step for step in run.measured if not step.ours]
    if not others:
        return Finding(about, "not measured", "Stale answers of the other schemes were not measured.")
    some = [step for step in others if step.figures.stale]
    none = [step for step in others if not step.figures.stale and step.figures.reads >= ENOUGH]
    few = [step for step in others if not step.figures.stale and step.figures.reads < ENOUGH]
    said = []
    if some:
        each = listed([f"{step.name} {_stale(step.figures)}" for step in some])
        said.append(f"Stale answers were served by {each}.")
    if none:
        said.append(f"No stale answer was seen with {listed(names(none))}, which proves nothing either way.")
    if few:
        said.append(f"{listed(names(few))} answered too few reads to show any.")
    return Finding(about, "told", " ".join(said))


def _stale_of_ours(run: Told) -> Finding:
    about = "Stale answers of unstale"
    ours = [step for step in run.measured if step.ours]
    if not ours:
        return Finding(about, "not measured", "unstale was not measured, so nothing is shown of its promise.")
    some = [step for step in ours if step.figures.stale]
    if some:
        each = listed([f"{step.name} {_stale(step.figures)}" for step in some])
        text = f"{each}: unstale promises none. This is a bug of unstale's: please report it, with `results.json`."
        return Finding(about, "missed", text)
    idle = [step for step in ours if not step.figures.actions or step.figures.reads < ENOUGH]
    if idle:
        text = f"{listed(names(idle))} completed no action, or below {ENOUGH} reads: that shows nothing of the promise"
        return Finding(about, "not measured", text)
    reads = sum(step.figures.reads for step in ours)
    actions = sum(step.figures.actions for step in ours)
    what = f"{listed(names(ours))} served no stale answer in {count(reads)} reads between {count(actions)} actions."
    return Finding(about, "met", what)


def _errors(run: Told) -> Finding:
    about = "Errors"
    if not run.measured:
        return Finding(about, "not measured", "Errors were not measured.")
    failed = [step for step in run.measured if step.figures.errors or step.outcome.requests.reasons]
    if not failed:
        return Finding(about, "told", "No request was answered with an error.")
    each = "; ".join(f"{step.name} {count(step.figures.errors)}{_reasons(step)}" for step in failed)
    return Finding(about, "told", f"Requests answered with an error, and why others broke off: {each}.")


def _reasons(step: Step) -> str:
    """The most frequent ones, as the load told them."""
    told = sorted(step.outcome.requests.reasons.items(), key=lambda one: -one[1])[:MOST_REASONS]
    return f" ({', '.join(f'{reason}: {count(often)}' for reason, often in told)})" if told else ""


def _not_measured(about: str) -> Finding:
    """A step that it needs is missing: which ones there are, the tables say."""
    return Finding(about, "not measured", f"{about}.")


def _half_of_actions(one: Figures) -> str:
    half = one.action_latency.p50
    return "most actions were never answered" if half is None else f"half of the actions took up to {latency(half)}"


def _stale(one: Figures) -> str:
    behind = f", at most {one.most_behind} behind" if one.most_behind > 1 else ""
    return f"({count(one.stale)}{behind})"


def _engine(one: Figures) -> str:
    return f"{one.engine_percent:.1f} %"


def _per_action(one: Figures) -> str:
    return duration(one.engine_us_per_action)
