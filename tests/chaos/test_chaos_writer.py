"""A writer's process: that it dies right after a commit, at its time and not before."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from unstale.tools.chaos.job import Job, write_job
from unstale.tools.chaos.record import Effect
from unstale.tools.chaos.recording import WRITE, count_of, writes_in
from unstale.tools.chaos.rows import database
from unstale.tools.chaos.subject import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """With a database, and a server that is away: each invalidation raises."""
    with database("sqlite", tmp_path, 4) as url:
        yield Place("redis://127.0.0.1:1/0", "x", {}, str(tmp_path), url, 4)


def job_of(place: Place, lives: float) -> Job:
    """Of a writer that may die after so many seconds."""
    return Job(
        kind="writer",
        number=0,
        subject="unstale",
        place=place,
        folder=place.scratch,
        seed=1,
        work=("killed",),
        per_second=100.0,
        lives=(lives, lives),
    )


@contextmanager
def at_work(job: Job) -> Iterator[subprocess.Popen[bytes]]:
    """The process of a job; it has ended afterwards."""
    command = [sys.executable, "-m", "unstale.tools.chaos.worker", str(write_job(job))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"ready\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_writer_dies_between_commit_and_invalidation(place: Place) -> None:
    """Its first commit after its time is in its file, and nothing of what became of it."""
    job = job_of(place, lives=0.0)
    with at_work(job) as process:
        assert process.wait(60) == -signal.SIGKILL
    [write] = writes_in(job.writes_file)
    assert (write.effect, write.committed > 0, write.ended) == (Effect.UNKNOWN, True, 0)


def test_a_writer_lives_until_its_time(place: Place) -> None:
    """It goes on writing, and ends when it is told to."""
    job = job_of(place, lives=600.0)
    with at_work(job) as process:
        deadline = time.monotonic() + 60
        while count_of(job.writes_file, WRITE) < 6 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert {one.effect for one in writes_in(job.writes_file)} == {Effect.RAISED}
