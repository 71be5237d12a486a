"""The sampler: slices that cover the window exactly, whatever the server does meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from servers import Server

from unstale.tools import engine
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.node import Node
from unstale.tools.lab.results import Sample
from unstale.tools.lab.sampling import Sampler, due_after, idle_percent, slice_of


def node_of(server: Server) -> Node:
    """A server that a test has started, as the lab sees it."""
    return Node(server.url, "It", log=server.directory / "server.log")


def sampled(server: Server, *, seconds: float, interval: float = 0.2, warm: float = 0.1) -> list[Sample]:
    """A window's slices."""
    window_at = time.monotonic() + warm
    with Sampler(node_of(server), window_at=window_at, seconds=seconds, interval=interval) as sampler:
        pass
    return sampler.samples


def test_slices_cover_the_window(server: Server) -> None:
    """Each begins where the last one ended, and the last ends with the window."""
    samples = sampled(server, seconds=0.9)
    assert samples[-1].at == pytest.approx(0.9)
    assert sum(one.seconds for one in samples) == pytest.approx(0.9)
    begins = [one.at - one.seconds for one in samples]
    assert begins == pytest.approx([0.0, *(one.at for one in samples[:-1])], abs=1e-9)


@pytest.mark.parametrize(
    ("at", "due"),
    [
        (0.0, 1.0),
        (0.01, 1.0),  # a little late, as always
        (1.4, 2.0),
        (1.6, 3.0),  # it had to wait: the next one is left out
        (7.3, 8.0),
        (8.0, 9.3),  # and not 9.0, and then 0.3 s more
        (9.2, 9.3),
    ],
)
def test_looks_are_due_at_even_distances(at: float, due: float) -> None:
    """In a window of 9.3 s that is cut into seconds."""
    assert due_after(at, 9.3, 1.0) == due


def test_counts_what_was_done_and_not_its_own_trips(server: Server) -> None:
    """200 reads in the window are 200 calls and 200 trips, in the slices together."""
    with server.client as client:
        client.ping()
        window_at = time.monotonic() + 0.2
        with Sampler(node_of(server), window_at=window_at, seconds=1.0, interval=0.3) as sampler:
            time.sleep(0.3)
            for _ in range(200):
                client.get("a")
    samples = sampler.samples
    assert sum(one.calls["reads"] for one in samples) == pytest.approx(200, abs=2)  # rounded in each slice
    assert sum(one.trips for one in samples) == pytest.approx(200, abs=4)


def test_tells_memory_keys_and_cpu(server: Server) -> None:
    """As they were at each slice's end."""
    with server.client as client:
        client.mset({"a": 1, "b": 2})
    last = sampled(server, seconds=0.4)[-1]
    assert last.keys == 2
    assert last.memory_bytes > 100_000
    assert 0 <= last.host_percent <= 100
    assert 0 <= last.engine_seconds <= last.process_seconds * 1.5 + 0.01
    assert set(last.by_class) == set(last.calls) == set(engine.CLASSES)


def test_a_server_that_answers_late_gives_a_longer_slice(own_server: Server) -> None:
    """A look that waits for its answer is not lost: its slice is as long as the wait, and the others stay."""
    window_at = time.monotonic() + 0.1
    with Sampler(node_of(own_server), window_at=window_at, seconds=1.6, interval=0.2) as sampler:
        time.sleep(0.4)
        own_server.freeze()
        time.sleep(0.7)
        own_server.thaw()
    assert max(one.seconds for one in sampler.samples) > 0.5
    assert sum(one.seconds for one in sampler.samples) == pytest.approx(1.6)


def during(sampler: Sampler, *acts: Callable[[], object]) -> None:
    """Do this while it samples."""
    with sampler:
        for act in acts:
            act()


def a_while() -> None:
    """Time for a few slices of a tenth of a second."""
    time.sleep(0.4)


def test_a_server_that_dies_is_said(own_server: Server) -> None:
    """Where it was, and what it said last; the slices so far are kept."""
    sampler = Sampler(node_of(own_server), window_at=time.monotonic(), seconds=5.0, interval=0.1)
    with pytest.raises(LabError, match=rf"(?s)127\.0\.0\.1:{own_server.port}/0 cannot be reached.*Its log ends with"):
        during(sampler, a_while, own_server.kill)
    assert sampler.samples


def test_a_server_that_was_restarted_is_said(own_server: Server) -> None:
    """Its counters begin anew, so they say nothing of the window."""
    sampler = Sampler(node_of(own_server), window_at=time.monotonic(), seconds=2.0, interval=0.1)
    with pytest.raises(LabError):
        during(sampler, a_while, own_server.kill, own_server.start)


def test_a_reset_is_said(own_server: Server) -> None:
    """Of its statistics, by someone else."""
    sampler = Sampler(node_of(own_server), window_at=time.monotonic(), seconds=1.0, interval=0.1)
    with own_server.client as client, pytest.raises(LabError, match="restarted, or reset"):
        during(sampler, a_while, client.config_resetstat)


def test_a_failure_can_be_asked_for_early(own_server: Server) -> None:
    """While the load runs, so that it need not run to its end."""
    sampler = Sampler(node_of(own_server), window_at=time.monotonic(), seconds=3600.0, interval=0.05)

    def ask() -> None:
        while True:
            sampler.check()
            time.sleep(0.02)

    with pytest.raises(LabError):
        during(sampler, own_server.kill, ask)
    assert not sampler._thread.is_alive()


def test_an_interrupt_keeps_what_there_is(server: Server) -> None:
    """Ctrl-C does not wait for the window's end."""
    sampler = Sampler(node_of(server), window_at=time.monotonic(), seconds=3600.0, interval=0.1)

    def interrupt() -> None:
        while not sampler.samples:
            time.sleep(0.01)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        during(sampler, interrupt)
    assert sampler.samples
    assert not sampler._thread.is_alive()


def test_an_interrupt_does_not_wait_for_a_server_that_hangs(own_server: Server) -> None:
    """Which would take as long as it may take to answer."""
    sampler = Sampler(node_of(own_server), window_at=time.monotonic() + 0.1, seconds=3600.0, interval=0.1)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        during(sampler, own_server.freeze, a_while, interrupt)
    sampler._thread.join(10)
    assert not sampler._thread.is_alive()


def test_what_is_wrong_with_the_sampler_is_not_hidden(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server whose INFO lacks a figure, as a bug of ours would show."""
    sampler = Sampler(node_of(server), window_at=time.monotonic(), seconds=0.1)
    monkeypatch.setattr(engine, "look", lambda *_: {}["used_memory"])
    with pytest.raises(KeyError, match="used_memory"):
        during(sampler, a_while)


def test_a_window_that_is_over_before_the_first_answer_is_said(own_server: Server) -> None:
    """There is nothing to tell of it."""
    sampler = Sampler(node_of(own_server), window_at=time.monotonic() - 5, seconds=1.0)
    with pytest.raises(LabError, match="did not answer once"), sampler:
        pass


def test_a_server_that_is_not_there_is_said_at_once() -> None:
    """Before any load."""
    sampler = Sampler(Node("redis://127.0.0.1:1/0", "It"), window_at=time.monotonic(), seconds=1.0)
    with pytest.raises(LabError, match="cannot be reached"), sampler:
        pass


def test_a_slice_is_scaled_to_its_part_of_the_work() -> None:
    """Looks 2 s apart, of which 1 s is in the window: half of all that is counted, and memory as it is."""
    commands = {"get": engine.Command(10, 0.2), "time": engine.Command(4, 0.1)}
    work = engine.Work(2.0, 0.6, 0.8, 21, commands, 0.3)
    now = engine.Look(9.0, 5.0, 6.0, 100, 1234, 7, {})
    got = slice_of(work, now, seconds=1.0, at=4.0)
    assert (got.engine_seconds, got.process_seconds, got.trips) == (0.3, 0.4, 10)
    assert (got.by_class["reads"], got.by_class["other"]) == (0.1, 0.05)
    assert (got.calls["reads"], got.calls["other"]) == (5, 2)
    assert (got.at, got.seconds, got.memory_bytes, got.keys) == (4.0, 1.0, 1234, 7)


def test_an_idle_server_is_seen_to_be_idle(server: Server) -> None:
    """It uses a little: its clock, and the looks themselves."""
    assert 0 <= idle_percent(node_of(server), 0.5) < 50
