"""A run made ready to be told: its steps in the order of the plan, each with its figures and its reservations.

Nothing is drawn and nothing is judged against the article here: see `conclusions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from unstale.tools.engine import CLASSES
from unstale.tools.lab.plan import VARIANTS, Plan
from unstale.tools.lab.results import Figures, Outcome, Results, figures
from unstale.tools.wording import count, latency

Ground: TypeAlias = Literal["failed", "interrupted", "skipped", "offered late", "not held"]
OURS: Final = frozenset(one.name for one in VARIANTS.values() if one.caching in {"unstale", "unstale-strict"})
"""The variants that unstale's promise is put to the test by."""
REST: Final = "network and rest"
"""What the engine did outside commands: reading, writing, parsing and waking up."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A reservation that belongs wherever a step's figures are shown."""

    ground: Ground
    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One variant that was begun."""

    outcome: Outcome
    figures: Figures
    marks: tuple[Mark, ...]

    @property
    def name(self) -> str:
        """Of the variant."""
        return self.outcome.variant

    @property
    def measured(self) -> bool:
        """Whether it has figures that mean something: what failed or was skipped has none, whatever it had begun."""
        return _is_measured(self.outcome)

    @property
    def ours(self) -> bool:
        """Whether it is one of unstale's."""
        return self.name in OURS

    def parts(self) -> dict[str, float]:
        """Engine CPU in percent of one core by what it went into, with REST for what no command took.

        A script's time contains that of the commands it calls, which are counted too: the rest is never below 0.
        """
        spent: dict[str, float] = {kind: self.figures.percent_by_class.get(kind, 0.0) for kind in CLASSES}
        spent[REST] = max(0.0, self.figures.engine_percent - sum(spent.values()))
        return spent


@dataclass(frozen=True, slots=True)
class Told:
    """A run, whole or in part."""

    plan: Plan
    steps: tuple[Step, ...]
    """All that were begun, in the order of the plan."""
    missing: tuple[str, ...]
    """Planned, and never begun."""

    @property
    def measured(self) -> list[Step]:
        """The steps that have figures."""
        return [step for step in self.steps if step.measured]

    def figures(self, name: str) -> Figures | None:
        """Of a variant that was measured, else None."""
        return next((step.figures for step in self.measured if step.name == name), None)


def told(results: Results) -> Told:
    """A run made ready; each variant's figures are computed once."""
    order = {name: place for place, name in enumerate(results.plan.variants)}
    outcomes = sorted(results.outcomes, key=lambda one: order.get(one.variant, len(order)))
    steps = tuple(_step(outcome, results.plan) for outcome in outcomes)
    begun = {outcome.variant for outcome in outcomes}
    return Told(results.plan, steps, tuple(name for name in results.plan.variants if name not in begun))


def names(steps: Sequence[Step]) -> list[str]:
    """The variants' names."""
    return [step.name for step in steps]


def _is_measured(outcome: Outcome) -> bool:
    return outcome.status in {"complete", "interrupted"} and bool(outcome.samples) and bool(outcome.requests.due)


def _step(outcome: Outcome, plan: Plan) -> Step:
    found = figures(outcome, plan)
    return Step(outcome, found, tuple(_marks(outcome, found)))


def _marks(outcome: Outcome, found: Figures) -> list[Mark]:
    if not _is_measured(outcome):
        ground: Ground = "failed" if outcome.status == "complete" else outcome.status
        return [Mark(ground, f"{ground}: {outcome.reason.strip().rstrip('.') or 'nothing was measured'}")]
    marks = []
    if outcome.status == "interrupted":
        begun = f"interrupted after {outcome.samples[-1].at:.0f} s of the window"
        marks.append(Mark("interrupted", f"{begun}: {outcome.reason.rstrip('.')}" if outcome.reason else begun))
    if found.offered_late:
        marks.append(Mark("offered late", _offered_late(found)))
    if not found.held:
        marks.append(Mark("not held", _not_held(found)))
    return marks


def _offered_late(found: Figures) -> str:
    most = "over 1 % of the requests were never sent"
    if found.sent_late_p99 is not None:
        most = f"1 % of the requests were sent {latency(found.sent_late_p99)} late or more, or some never"
    return f"this machine could not offer the rate, so the figures are of a lower one: {most}"


def _not_held(found: Figures) -> str:
    return (
        f"did not hold the offered rate: of {count(found.offered)} requests {count(found.late)} were answered late, "
        f"{count(found.unanswered)} never; the host was at {found.host_percent:.0f} %"
    )
