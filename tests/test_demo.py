"""The demo: its judgement of stale reads, its figures, what it says of them, and a short run of the whole."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from demo import database, report
from demo.figures import Figures, figures
from demo.judge import Board, Floors, is_stale
from demo.orders import order_page
from demo.server import Sample
from demo.worker import Client, Done
from demo.workload import Load, Operation, schedule, users_of
from unstale.stores.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parent.parent
SHORT = ("--seconds", "1", "--keys", "2000", "--users", "40", "--rate", "150")


@pytest.fixture
def scratch():
    """A short temporary directory (a unix socket's path is limited), which must be empty at the end."""
    with tempfile.TemporaryDirectory(prefix="demo-", dir="/tmp") as path:
        yield Path(path)


def start(scratch, *arguments, **more):
    """Start the demo in a process group of its own, without the caller's UNSTALE_URL."""
    env = {**os.environ, "TMPDIR": str(scratch), "UNSTALE_URL": "", **more}
    command = [sys.executable, "-m", "demo", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=env, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def some(variant, **changes):
    """Figures of a run in which nothing special happened."""
    plain = Figures(
        variant=variant,
        title={"a": "pattern deletes", "b": "known-key deletes", "c": "time stamps", "d": "unstale"}[variant],
        offered=900,
        offered_per_second=100.0,
        achieved_per_second=100.0,
        unfinished=0,
        engine_us_per_operation=50.0,
        engine_percent=5.0,
        trips_per_operation=1.3,
        read_p50_ms=0.5,
        read_p99_ms=9.0,
        reads=810,
        hit_rate=0.7,
        loads=243,
        actions=90,
        stale_reads=0,
        read_errors=0,
        action_errors=0,
        error_names={},
        command_us_per_operation={"get": 2.0, "set": 1.0},
    )
    return replace(plain, **changes)


# The judgement


@pytest.mark.parametrize(("version", "floor", "stale"), [(3, 4, True), (4, 4, False), (5, 4, False), (0, 0, False)])
def test_a_value_older_than_the_floor_is_stale(version, floor, stale):
    """A version below the floor is stale; the floor's own and newer ones are not."""
    assert is_stale(version, floor) is stale


def test_the_floor_is_the_newest_that_any_process_published():
    """Each process writes in its own part, and reads the newest of all."""
    board = Board(processes=2, users=3)
    first, second = Floors(board, 0), Floors(board, 1)
    first.publish(2, 5)
    second.publish(2, 7)
    first.publish(2, 6)
    assert (first.of(2), second.of(2), first.of(1)) == (7, 7, 0)


def test_a_floor_never_sinks():
    """A late action's older version changes nothing."""
    floors = Floors(Board(processes=1, users=1), 0)
    floors.publish(0, 9)
    floors.publish(0, 8)
    assert floors.of(0) == 9


class Kept:
    """A variant that keeps its first page forever, and watches the floor while it invalidates."""

    def __init__(self, floors):
        self.floors = floors
        self.kept = None
        self.seen_while_invalidating = []

    def read(self, user, page, loader):
        self.kept = self.kept or loader()
        return self.kept

    def invalidate(self, user):
        self.seen_while_invalidating.append(self.floors.of(user))


@pytest.fixture
def client(tmp_path):
    """A client over a real database and a variant that never changes its mind."""
    database.create(tmp_path / "orders.sqlite", users=2, pages=3)
    floors = Floors(Board(processes=1, users=2), 0)
    return Client(Kept(floors), database.Database(tmp_path / "orders.sqlite"), floors)


def test_what_is_served_after_an_action_from_before_it_is_a_stale_read(client):
    """The old page is no stale read before the action, and is one after it."""
    before = [client.read(0, 1), client.read(0, 1)]
    client.act(0)
    assert [*before, client.read(0, 1)] == [(True, False), (False, False), (False, True)]


def test_the_floor_rises_only_when_the_invalidation_has_returned(client):
    """While an invalidation runs, a value from before it is not yet held against the variant."""
    client.act(1)
    assert (client._variant.seen_while_invalidating, client._floors.of(1)) == ([0], 1)


def test_an_action_during_a_read_is_not_held_against_the_read(client):
    """The floor is noted before the read begins."""
    client.read(0, 1)
    variant, reading = client._variant, threading.Event()

    def act_meanwhile(user, page, loader):
        client.act(user)
        reading.set()
        return order_page(user, page, 0)

    variant.read = act_meanwhile
    assert (client.read(0, 1), reading.is_set()) == ((False, False), True)


def test_an_error_is_recorded_by_its_name(client):
    """What reaches the caller is counted, and does not end the run."""
    client._variant.invalidate = lambda _user: 1 / 0
    done = client.do(Operation(0.0, True, 0, 0), 0.0)
    assert (done.error, client._floors.of(0)) == ("ZeroDivisionError", 0)


# The workload


def test_the_same_seed_gives_the_same_operations():
    """Every variant is offered the same; another seed or another process is something else."""
    load = Load(seconds=2.0, rate=200.0, users=10, pages=5)
    assert schedule(load, 0) == schedule(load, 0)
    assert schedule(load, 0) != schedule(load, 1)
    assert schedule(load, 0) != schedule(replace(load, seed=2), 0)


def test_the_operations_are_in_time_and_in_range():
    """They come in order, within the run, for users and pages that exist, one in ten an action."""
    operations = schedule(Load(seconds=5.0, rate=800.0, users=10, pages=5), 0)
    assert operations == sorted(operations)
    assert {one.user for one in operations} == set(range(10))
    assert {one.page for one in operations} == set(range(5))
    assert 0.07 < sum(one.is_action for one in operations) / len(operations) < 0.13


def test_every_user_is_loaded_by_one_process():
    """The processes' shares are all users, each once."""
    load = Load(users=7, processes=2)
    assert sorted([*users_of(load, 0), *users_of(load, 1)]) == list(range(7))


def test_a_page_is_about_a_kibibyte_of_json():
    """What is cached has the size that the demo says."""
    sizes = [len(json.dumps(order_page(user, page, 3))) for user in (0, 1999) for page in (0, 49)]
    assert all(1000 < size < 1500 for size in sizes)


# The figures

READ, ACTION = Operation(0.5, False, 0, 0), Operation(0.5, True, 0, 0)


def told(operations, done):
    """Figures of a run of 2 s in which the engine used 10 ms."""
    samples = Sample(10.0, 1.0, 40, {"get": 0.001}), Sample(12.0, 1.01, 46, {"get": 0.003, "set": 0.001})
    return figures(("b", "known-key deletes"), Load(seconds=2.0), operations, done, samples)


def test_figures_are_of_what_was_done_in_time():
    """Rates and CPU count what returned by the end; stale reads count whenever they return."""
    done = [
        Done(READ, 0.6, loaded=True, stale=False, error=""),
        Done(ACTION, 0.6, loaded=False, stale=False, error=""),
        Done(READ, 2.3, loaded=False, stale=True, error=""),
    ]
    one = told([READ, ACTION, READ], done)
    assert (one.achieved_per_second, one.unfinished, one.stale_reads, one.loads) == (1.0, 1, 1, 1)
    assert (one.hit_rate, one.actions) == (0.5, 1)
    assert one.engine_us_per_operation == pytest.approx(5000)
    assert one.engine_percent == pytest.approx(0.5)
    assert one.trips_per_operation == pytest.approx(3)
    assert one.command_us_per_operation == pytest.approx({"get": 1000, "set": 500})


def test_a_read_that_never_returned_counts_as_long_as_it_waited():
    """Otherwise a variant that is stuck would look fast."""
    one = told([READ, READ], [Done(READ, 0.6, loaded=False, stale=False, error="")])
    assert one.read_p99_ms == pytest.approx(1500)


def test_an_operation_that_failed_is_not_completed():
    """It is an error: no read, no action, no part of the rate."""
    failed = [Done(READ, 0.6, loaded=False, stale=False, error="TimeoutError")]
    one = told([READ, ACTION], [*failed, Done(ACTION, 0.6, loaded=False, stale=False, error="TimeoutError")])
    assert (one.read_errors, one.action_errors, one.reads, one.actions) == (1, 1, 0, 0)
    assert (one.achieved_per_second, one.error_names) == (0.0, {"TimeoutError": 2})


# What is said


@pytest.mark.parametrize("changes", [{"stale_reads": 1}, {"read_errors": 1}, {"reads": 0}, {"actions": 0}])
def test_the_exit_code_tells_of_unstale_s_failure(changes):
    """One stale read, one error in a read, or nothing that could have gone wrong."""
    assert report.verdict([some("a"), some("d", **changes)]) == 1


@pytest.mark.parametrize("all_of", [[some("b", stale_reads=9, read_errors=9), some("d")], [some("b", stale_reads=9)]])
def test_the_others_failures_do_not_change_the_exit_code(all_of):
    """They are what the demo is there to show."""
    assert report.verdict(all_of) == 0


def text(*all_of):
    """The conclusion in one line."""
    return " ".join(report.conclusion(all_of))


def test_the_conclusion_gives_the_ratios_of_engine_cpu():
    """Large ones in whole numbers, small ones with two decimals."""
    said = text(some("a", engine_us_per_operation=4000.0), some("b", engine_us_per_operation=75.0), some("d"))
    assert "pattern deletes 80 × unstale, known-key deletes 1.50 × unstale." in said
    assert "about the same" not in said


def test_the_conclusion_says_where_nothing_is_saved():
    """About the same is called so."""
    assert "Against known-key deletes and time stamps that is about the same" in text(some("b"), some("c"), some("d"))


def test_the_conclusion_says_where_unstale_costs_more():
    """Less is called less."""
    said = text(some("b", engine_us_per_operation=30.0), some("d"))
    assert "0.60 × unstale. So known-key deletes cost the engine less than unstale here." in said


def test_the_conclusion_gives_round_trips_and_the_costliest_command():
    """What the engine's CPU went into."""
    said = text(some("a", trips_per_operation=1234.5, command_us_per_operation={"scan": 9.0, "get": 1.0}), some("d"))
    assert "pattern deletes 1,234, unstale 1.30. " in said
    assert "pattern deletes SCAN, unstale GET." in said


def test_the_conclusion_counts_stale_reads():
    """Each variant's, and that unstale served none."""
    said = text(some("b", stale_reads=12), some("c", stale_reads=1), some("d"))
    assert "known-key deletes 12 of 810 reads, time stamps 1 of 810 reads, unstale 0 of 810 reads." in said
    assert "none was seen" not in said
    assert said.count("unstale served none.") == 1


def test_the_conclusion_does_not_hide_that_another_served_none():
    """What did not show in this run is said not to have shown."""
    assert "With known-key deletes none was seen in this run" in text(some("b"), some("d"))


def test_the_conclusion_says_where_none_could_be_served():
    """Nothing is held against reads while no invalidation has returned: that is no merit."""
    said = text(some("a", actions=0), some("d"))
    assert "With pattern deletes there could be none: no invalidation returned. unstale served none." in said
    assert "none was seen" not in said


def test_the_conclusion_calls_a_stale_read_of_unstale_s_a_bug():
    """It does not say that none was served."""
    said = text(some("d", stale_reads=1))
    assert "this is a bug" in said
    assert "served none" not in said


def test_the_conclusion_names_who_could_not_keep_up():
    """With the rate, and what was left."""
    said = text(some("a", achieved_per_second=7.0, unfinished=837), some("d"))
    assert "Pattern deletes did not hold the offered rate: 7 of 100 operations/s. 837 operations had not" in said


def test_the_conclusion_names_the_errors():
    """By variant, place and name."""
    said = text(some("c", read_errors=2, action_errors=1, error_names={"TimeoutError": 3}), some("d"))
    assert "time stamps 2 in reads, 1 in actions (TimeoutError)" in said


# The whole


def test_a_short_run_of_all_variants(scratch):
    """It exits with 0, tells of all four, no read of unstale's was stale, and it leaves nothing behind."""
    with start(scratch, *SHORT, "--json", str(scratch / "told.json")) as running:
        printed = running.communicate(timeout=60)[0]
    assert running.returncode == 0, printed
    written = json.loads((scratch / "told.json").read_text())
    assert [one["variant"] for one in written["variants"]] == ["a", "b", "c", "d"]
    assert all(one["reads"] > 50 and one["loads"] > 0 and one["actions"] > 0 for one in written["variants"])
    ours = written["variants"][3]
    assert (ours["stale_reads"], ours["read_errors"]) == (0, 0)
    assert all(paragraph[:40] in printed for paragraph in written["conclusion"])
    assert [path.name for path in scratch.iterdir()] == ["told.json"]


def test_a_server_of_the_user_s_is_left_as_it_was(scratch):
    """His keys stay, ours go."""
    server = EmbeddedServer(scratch / "his")
    his = redis.Redis.from_url(server.url)
    his.set("his", "own")
    with start(scratch, *SHORT, "--variants", "bd", UNSTALE_URL=server.url) as running:
        printed = running.communicate(timeout=60)[0]
    left = his.keys()
    his.close()
    server.leave()
    assert (running.returncode, left) == (0, [b"his"]), printed


def test_a_server_that_is_not_there_is_named_without_its_password(scratch):
    """The message says what to do; the exit code is 2."""
    with start(scratch, "--url", "redis://:sekret@127.0.0.1:1/0") as running:
        printed = running.communicate(timeout=60)[0]
    assert running.returncode == 2
    assert "127.0.0.1:1/0" in printed
    assert "UNSTALE_URL" in printed
    assert "sekret" not in printed


def test_ctrl_c_ends_everything(scratch):
    """In the middle of a run: a clear word, no process, no directory."""
    with start(scratch, "--seconds", "30", "--keys", "2000", "--users", "40", "--variants", "b") as running:
        lines = [running.stdout.readline(), running.stdout.readline()]
        os.killpg(running.pid, signal.SIGINT)
        printed = running.communicate(timeout=20)[0]  # ends only when no process holds the pipe any more
    assert "operations/s" in lines[1]
    assert (running.returncode, "Interrupted" in printed, list(scratch.iterdir())) == (130, True, [])
