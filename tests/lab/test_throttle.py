"""A process held to a fraction of a core: the rule with a clock that is set, and real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from unstale.tools.lab import throttle
from unstale.tools.lab.throttle import Throttle


class Machine:
    """A process on a core, in a time that passes only here."""

    def __init__(self, fraction: float) -> None:
        self.now = 100.0
        self.used = 7.0
        self.running = True
        self.throttle = Throttle(1, fraction, used=lambda _: self.used, now=lambda: self.now, send=self.send)

    def send(self, pid: int, number: int) -> None:
        assert number in (signal.SIGSTOP, signal.SIGCONT)
        assert self.running == (number == signal.SIGSTOP)  # no signal without need
        self.running = number == signal.SIGCONT

    def run(self, seconds: float, *, busy: float = 1.0, late: float = 0.0) -> float:
        """Step as asked, with a process that wants this part of the core; the CPU that it used."""
        used, until = self.used, self.now + seconds
        while self.now < until:
            slept = self.throttle.step() + late
            self.used += slept * busy if self.running else 0.0
            self.now += slept
        return self.used - used


@pytest.mark.parametrize("fraction", [0.05, 0.25, 0.9])
def test_a_busy_process_gets_its_fraction(fraction: float) -> None:
    """No more, and no less."""
    assert Machine(fraction).run(20.0) == pytest.approx(20 * fraction, rel=0.02)


def test_a_fraction_is_exact_though_it_is_woken_late() -> None:
    """What the process used too much is taken from its next periods."""
    assert Machine(0.25).run(20.0, late=0.02) == pytest.approx(5.0, rel=0.02)


def test_a_process_that_wants_less_is_never_stopped() -> None:
    """One that uses 20 % of the core runs free under a quota of 25 %."""
    machine = Machine(0.25)
    machine.send = None  # type: ignore[method-assign, assignment] - a signal would fail
    assert machine.run(20.0, busy=0.2) == pytest.approx(4.0, rel=0.02)


def test_what_is_not_used_is_lost() -> None:
    """After a pause a process has no more than one period's quota."""
    machine = Machine(0.25)
    machine.run(10.0, busy=0.0)
    assert machine.run(0.1) <= 0.051


def test_steps_are_few() -> None:
    """A busy process costs about two steps a period, an idle one a step for each quota."""
    machine = Machine(0.25)
    steps = 0
    until = machine.now + 10
    while machine.now < until:
        slept = machine.throttle.step()
        machine.used += slept if machine.running else 0.0
        machine.now += slept
        steps += 1
    assert steps < 400


READERS = [throttle.cpu_seconds_by_psutil]
if sys.platform == "linux":
    READERS.append(throttle.cpu_seconds_by_clock)


@pytest.mark.parametrize("read", READERS)
def test_reads_the_cpu_of_a_process(read) -> None:
    """What this process has used, within the coarser of the two clocks."""
    before = time.process_time()
    assert before - 0.05 <= read(os.getpid()) <= time.process_time() + 0.05


@pytest.mark.parametrize("read", READERS)
def test_a_process_that_is_gone_is_said(read) -> None:
    """As Python says it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with pytest.raises(ProcessLookupError):
        read(ended.pid)


def test_holds_a_real_process() -> None:
    """A process that would take all of a core takes no more than its fraction and half of that again."""
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        held = Throttle(burner.pid, 0.2)
        used, begun = throttle.cpu_seconds(burner.pid), time.monotonic()
        while time.monotonic() < begun + 2:
            time.sleep(held.step())
        part = (throttle.cpu_seconds(burner.pid) - used) / (time.monotonic() - begun)
        assert 0 < part < 0.3
    finally:
        burner.kill()
        burner.wait()
