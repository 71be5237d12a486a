"""Each mutant of unstale is caught by the phase that is meant for it, in which unstale itself comes out clean.

The runs take their time in waiting more than in working, so three are under way at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aims import AIMS, Aim
from mutants import MUTANTS

from unstale.tools.chaos.course import run_phase
from unstale.tools.chaos.results import ZERO, Outcome

SIDE_BY_SIDE = 3
BY_NAME = {one.phase.name: one for one in AIMS}
CAUGHT_BY = {mutant: one.phase.name for one in AIMS for mutant in one.mutants}
LEAST_HITS = 10


class Silent:
    """Nobody watches."""

    def begins(self, outcome: Outcome) -> None:
        pass

    def goes_on(self, what: str, tick: Any = None) -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        pass


def run(one: Aim, mutant: str, applied: Path) -> Outcome:
    """Run an aim's phase with its subject, once; or with a mutant of it, until it is caught or no seed is left."""
    subject = f"mutants:{mutant}" if mutant else one.phase.subject
    options = {**one.phase.options, "applied": str(applied)}
    phase = msgspec.structs.replace(one.phase, subject=subject, options=options)
    outcomes = (run_phase(phase, one.plan, seed, Silent()) for seed in one.plan.seeds)
    outcome = next(outcomes)
    while mutant and outcome.status == "complete" and not any(caught(one, mutant, outcome).values()):
        following = next(outcomes, None)
        if following is None:
            break
        outcome = following
    return outcome


def caught(one: Aim, mutant: str, outcome: Outcome) -> dict[str, int]:
    """The counts by which a mutant is to be caught."""
    return {name: getattr(outcome.counts, name) for name in one.mutants[mutant]}


@pytest.fixture(scope="module")
def runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, untraced_children: None
) -> Iterator[Callable[[str, str], tuple[Outcome, Path]]]:
    """The outcome of a phase with a mutant ("" for none), and the file that says that its mistake was run.

    What the tests of this session will ask for is begun at once.
    """
    here = str(Path(__file__).parent)
    begun: dict[tuple[str, str], tuple[Future[Outcome], Path]] = {}
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH")))))

        @cache
        def begin(phase: str, mutant: str) -> None:
            applied = tmp_path_factory.mktemp("mutant") / "applied"
            begun[phase, mutant] = (pool.submit(run, BY_NAME[phase], mutant, applied), applied)

        for item in request.session.items:
            if item.path == Path(__file__) and isinstance(item, pytest.Function):
                given = item.callspec.params if hasattr(item, "callspec") else {}
                if "phase" in given:
                    begin(given["phase"], "")
                elif "mutant" in given:
                    begin(CAUGHT_BY[given["mutant"]], given["mutant"])

        def outcome(phase: str, mutant: str) -> tuple[Outcome, Path]:
            future, applied = begun[phase, mutant]
            return future.result(), applied

        yield outcome
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("phase", BY_NAME)
def test_unstale_itself_comes_out_clean(phase: str, runs: Callable[[str, str], tuple[Outcome, Path]]) -> None:
    """In each of the phases every count that must be 0 is, and the cache has served something."""
    outcome, _ = runs(phase, "")
    counts = outcome.counts
    assert outcome.status == "complete", outcome.reason
    expected = {*ZERO, *(name for names in BY_NAME[phase].mutants.values() for name in names)}
    assert {name: getattr(counts, name) for name in expected} == dict.fromkeys(expected, 0), counts.examples
    assert counts.hits >= LEAST_HITS
    assert bool(counts.strikes) is bool(BY_NAME[phase].phase.faults)


@pytest.mark.parametrize("mutant", CAUGHT_BY)
def test_a_mutant_is_caught(mutant: str, runs: Callable[[str, str], tuple[Outcome, Path]]) -> None:
    """With one mistake in it, a count that must be 0 is not; and not because it raises."""
    phase = CAUGHT_BY[mutant]
    outcome, applied = runs(phase, mutant)
    assert outcome.status == "complete", outcome.reason
    assert applied.exists(), "the mistake was never run: it was patched into what is not used"
    raised = outcome.counts.effects.get("RAISED", 0)
    assert (outcome.counts.errors, raised * 2 > outcome.counts.writes) == (0, False), outcome.mishaps
    counts = caught(BY_NAME[phase], mutant, outcome)
    assert any(counts.values()), (counts, outcome.counts.reads, outcome.counts.strikes)


def test_every_mutant_has_a_phase() -> None:
    """No mutant is left out, and there are as many as were asked for."""
    assert set(MUTANTS) == set(CAUGHT_BY)
    assert len(MUTANTS) >= 14


def test_the_guide_names_each_mistake() -> None:
    """The table of `docs/chaos.md` has a row for each, in the words that stand here."""
    guide = (Path(__file__).parents[2] / "docs" / "chaos.md").read_text()
    for name, mutant in MUTANTS.items():
        assert f"| {str(mutant.apply.__doc__).strip().splitlines()[0]} | " in guide, name
