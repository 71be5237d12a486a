"""What is kept and counted of the requests, and when a machine could not offer the rate."""

from __future__ import annotations

import subprocess
import sys

import pytest

from unstale.tools.lab.plan import Plan
from unstale.tools.lab.results import SENT_LATE, Figures, Outcome, Requests, Sample, figures
from unstale.tools.lab.schedule import ACTION, CATALOGUE, HISTORY, Due
from unstale.tools.lab.tally import Second, Tally


def answer(
    tally: Tally, due: Due, took: float | None, status: int = 200, *, hit: bool = False, behind: int = 0
) -> None:
    """One request from beginning to end."""
    attempt = tally.offered(due)
    attempt.sent_late, attempt.took, attempt.status, attempt.hit, attempt.behind = 0.0, took, status, hit, behind
    tally.ended(attempt)


def figures_of(requests: Requests) -> Figures:
    """The figures of these requests."""
    return figures(Outcome(variant="x", stands_for="", status="complete", requests=requests), Plan())


def test_a_second_counts_what_happened_in_it() -> None:
    """Right answers, errors, breaks, stale ones, and the hits among the reads of histories."""
    tally = Tally()
    answer(tally, Due(0.1, HISTORY, 1, 1), 0.010, hit=True)
    answer(tally, Due(0.2, HISTORY, 1, 1), 0.020, behind=2)
    answer(tally, Due(0.3, CATALOGUE, 1, 1), 0.030, hit=True)
    answer(tally, Due(0.4, HISTORY, 1, 1), 0.040, status=500)
    answer(tally, Due(0.5, HISTORY, 1, 1), None, status=0)
    assert tally.second(1) == Second(
        second=1, offered=5, completed=3, errors=2, stale=1, hits=1, reads=2, p99=0.040, generator_cpu_seconds=None
    )


def test_the_next_second_begins_at_nothing() -> None:
    """Nothing is counted twice."""
    tally = Tally()
    answer(tally, Due(0.1, HISTORY, 1, 1), 0.010)
    tally.second(1)
    assert tally.second(2) == Second(second=2)


def test_p99_is_the_time_that_99_of_100_do_not_exceed() -> None:
    """Of the second's answers, in any order."""
    tally = Tally()
    for took in range(200, 0, -1):
        answer(tally, Due(0.1, HISTORY, 1, 1), float(took))
    assert tally.second(1).p99 == 198.0


def test_the_warm_up_is_counted_and_not_kept() -> None:
    """A person sees it; the figures do not."""
    tally = Tally()
    answer(tally, Due(-0.1, HISTORY, 1, 1), 0.010)
    answer(tally, Due(0.0, HISTORY, 2, 1), 0.010)
    assert tally.second(0).offered == 2
    assert tally.requests().user == [2]


def test_what_is_under_way_is_kept_without_an_answer() -> None:
    """A request that was cut at the end is one that nobody answered."""
    tally = Tally()
    tally.offered(Due(0.5, CATALOGUE, 3, 1)).sent_late = 0.25
    assert tally.requests() == Requests(
        due=[0.5], kind=[CATALOGUE], user=[3], took=[None], status=[0], hit=[None], behind=[0], sent_late=[0.25]
    )


@pytest.mark.parametrize(
    ("sent_late", "offered_late"),
    [
        ([], False),
        ([0.0] * 99 + [9.0], False),
        ([0.0] * 98 + [2 * SENT_LATE] * 2, True),
        ([SENT_LATE] * 100, False),
        ([0.0] * 999 + [None], True),
    ],
)
def test_the_rate_was_not_offered_if_many_were_late_or_one_was_not_sent(
    sent_late: list[float | None], offered_late: bool
) -> None:
    """One slow moment is forgiven; over 1 % late is not, nor is a request that never went out."""
    assert figures_of(Requests(sent_late=sent_late)).offered_late is offered_late


def test_the_generators_cost_is_told_by_the_request() -> None:
    """CPU of the load process, over the window's requests."""
    requests = Requests(
        due=[0.1, 0.2], kind=[0, 0], user=[0, 0], took=[0.1, 0.1], status=[200, 200], hit=[True, True], behind=[0, 0],
        generator_cpu_seconds=0.001,
    )  # fmt: skip
    assert figures_of(requests).generator_us_per_request == pytest.approx(500)


def test_the_lab_does_not_import_locust_to_start_a_load() -> None:
    """It is slow to import, and belongs into the load's own process."""
    told = "import sys, unstale.tools.lab.load; sys.exit('locust' in sys.modules or 'gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", told], check=False).returncode == 0


def test_what_the_warm_up_left_to_the_window_is_part_of_what_the_engine_was_used_for() -> None:
    """A queue that is worked off in the window makes no action dearer than it was."""
    tally = Tally()
    answer(tally, Due(-3.0, ACTION, 1, 1), 2.0, status=201)
    answer(tally, Due(-2.0, ACTION, 1, 1), 2.5, status=201)
    answer(tally, Due(-1.0, ACTION, 1, 1), 2.0, status=500)
    answer(tally, Due(-1.0, HISTORY, 1, 1), 1.5)
    answer(tally, Due(0.5, ACTION, 1, 1), 1.0, status=201)
    answer(tally, Due(1.0, ACTION, 1, 1), None, status=0)
    sample = Sample(
        at=2.0, seconds=2.0, engine_seconds=0.2, process_seconds=0.2, host_percent=0.0, by_class={}, calls={},
        trips=30, memory_bytes=0, keys=0,
    )  # fmt: skip
    outcome = Outcome(
        variant="x", stands_for="", status="complete", samples=[sample], requests=tally.requests(), idle_percent=0.0
    )
    found = figures(outcome, Plan(seconds=2.0))
    assert (found.offered, found.completed, found.actions) == (2, 1, 1)
    assert found.engine_us_per_action == pytest.approx(100_000)
    assert found.trips_per_request == pytest.approx(10)
