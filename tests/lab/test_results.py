"""The figures: each against a run that is small enough to be counted by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from unstale.errors import ConfigurationError
from unstale.tools.engine import CLASSES
from unstale.tools.lab import results as written
from unstale.tools.lab.plan import Plan
from unstale.tools.lab.results import KINDS, Figures, Outcome, Requests, Results, Sample, figures

PLAN = Plan(seconds=2.0)
HISTORY, CATALOGUE, ACTION = (KINDS.index(kind) for kind in ("history", "catalogue", "action"))


def sample(at: float, engine: float, trips: int = 10, reads: float = 0.0) -> Sample:
    """A second."""
    return Sample(
        at=at,
        seconds=1.0,
        engine_seconds=engine,
        process_seconds=engine,
        host_percent=50.0,
        by_class={**dict.fromkeys(CLASSES, 0.0), "reads": reads},
        calls=dict.fromkeys(CLASSES, 0),
        trips=trips,
        memory_bytes=int(at) * 100,
        keys=5,
    )


ROWS = [
    # due, kind, took, status, hit, behind, sent late
    (-1.0, HISTORY, 0.5, 200, True, 3, 0.0),  # of the warm-up altogether
    (-0.5, ACTION, 1.0, 201, None, 0, 0.0),  # answered within the window
    (-0.4, HISTORY, None, 0, None, 0, 9.0),
    (0.1, HISTORY, 0.1, 200, True, 0, 0.0),
    (0.2, HISTORY, 0.2, 200, False, 2, 0.0),  # stale
    (0.3, CATALOGUE, 0.1, 200, True, 0, 0.0),
    (0.4, ACTION, 0.4, 201, None, 0, 0.0),
    (0.5, HISTORY, 0.1, 500, None, 0, 0.0),  # an error
    (1.5, HISTORY, 1.0, 200, True, 1, 0.0),  # late, and stale
    (1.9, ACTION, None, 0, None, 0, 0.1),  # never
]


def outcome(rows: list[tuple[object, ...]] = ROWS, samples: list[Sample] | None = None) -> Outcome:
    """A run."""
    names = ("due", "kind", "took", "status", "hit", "behind", "sent_late")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    asked = Requests(user=[1] * len(rows), generator_cpu_seconds=0.007, **columns)  # type: ignore[arg-type]
    default = [sample(1.0, 0.5, reads=0.2), sample(2.0, 0.1)]
    return Outcome(
        variant="unstale",
        stands_for="a step",
        status="complete",
        idle_percent=5.0,
        requests=asked,
        samples=default if samples is None else samples,
    )


@pytest.fixture(scope="module")
def found() -> Figures:
    """The figures of that run."""
    return figures(outcome(), PLAN)


def test_what_was_offered_is_what_was_due_in_the_window(found: Figures) -> None:
    """Not what was due in the warm-up."""
    assert (found.offered, found.offered_rate) == (7, 3.5)


def test_what_was_completed_is_what_was_answered_in_the_window(found: Figures) -> None:
    """Also what was due before; neither errors nor what came later."""
    assert (found.completed, found.rate, found.actions, found.reads) == (5, 2.5, 2, 2)


def test_what_was_not_completed_is_told_apart(found: Figures) -> None:
    """Late, never, and wrong."""
    assert (found.late, found.unanswered, found.errors) == (1, 1, 1)


def test_the_engine_is_counted_without_what_it_uses_when_idle(found: Figures) -> None:
    """0.6 s in two seconds, of which 5 % of a core are the idle engine's: by two actions, and by five requests."""
    assert (found.engine_percent, found.engine_peak_percent) == (pytest.approx(30.0), pytest.approx(50.0))
    assert found.engine_us_per_action == pytest.approx(1e6 * (0.6 - 0.1) / 2)
    assert found.engine_us_per_request == pytest.approx(1e6 * (0.6 - 0.1) / 5)
    assert found.percent_by_class["reads"] == pytest.approx(10.0)


def test_trips_hits_and_memory(found: Figures) -> None:
    """Trips by completed requests, hits by completed reads of histories, the most memory."""
    assert (found.trips_per_request, found.hit_rate, found.loads, found.memory_bytes) == (4.0, 0.5, 1, 200)


def test_stale_answers_count_whenever_they_came(found: Figures) -> None:
    """Those that were due in the window: one in time, one late."""
    assert (found.stale, found.most_behind) == (2, 2)


def test_latency_is_of_all_that_was_due_in_the_window(found: Figures) -> None:
    """Also of what was late; what was never answered is slower than any other."""
    assert (found.read_latency.p50, found.read_latency.p99) == (0.1, 1.0)
    assert (found.action_latency.p50, found.action_latency.p95) == (0.4, None)


def test_the_rate_was_not_held(found: Figures) -> None:
    """Four of seven were answered as they should, in time."""
    assert found.held is False


def test_the_rate_is_held_if_nearly_all_is_answered_in_time() -> None:
    """98 of 100 hold it, 97 do not."""
    good, never = (0.1, HISTORY, 0.1, 200, True, 0, 0.0), (0.2, HISTORY, None, 0, None, 0, 0.0)
    assert [figures(outcome([good] * many + [never] * (100 - many)), PLAN).held for many in (98, 97)] == [True, False]


def test_answers_to_the_warm_up_do_not_hold_the_rate() -> None:
    """A server that works off its queue answers much in the window; what was due in it is what counts."""
    before, never = (-0.5, HISTORY, 1.0, 200, True, 0, 0.0), (0.2, HISTORY, None, 0, None, 0, 0.0)
    found = figures(outcome([before] * 99 + [never]), PLAN)
    assert (found.completed, found.held) == (99, False)


def test_a_generator_that_was_late_is_told() -> None:
    """One request that was not sent is enough; of the warm-up none counts."""
    good, unsent = (0.1, HISTORY, 0.1, 200, True, 0, 0.0), (0.2, HISTORY, None, 0, None, 0, None)
    before = (-0.2, HISTORY, None, 0, None, 0, None)
    assert [figures(outcome([good, one]), PLAN).offered_late for one in (unsent, before)] == [True, False]


def test_a_run_that_was_stopped_has_the_window_that_it_had() -> None:
    """Rates are of the time that was measured."""
    found = figures(outcome(samples=[sample(1.0, 0.5)]), PLAN)
    assert (found.offered, found.rate, found.engine_percent) == (5, 5.0, 50.0)


def test_nothing_measured_gives_no_figures_of_it() -> None:
    """None, not 0, where there is nothing to divide by."""
    found = figures(outcome([], []), PLAN)
    assert (found.engine_us_per_action, found.trips_per_request, found.hit_rate) == (None, None, None)


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    """All of it."""
    results = Results(plan=PLAN, versions={"python": "3"}, machine={"cores": "2"}, outcomes=[outcome()])
    written.write(results, tmp_path / "results.json")
    assert written.read(tmp_path / "results.json") == results


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "no result"), ("{}", "no result"), ('{"plan": {}, "format": 99}', "format 99"), ('{"plan": 1}', "no result")],
)
def test_what_is_no_result_is_said(tmp_path: Path, text: str, says: str) -> None:
    """With the file's name."""
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        written.read(tmp_path / "results.json")
