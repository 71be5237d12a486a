"""One variant, from an empty server to its figures: starts the client processes, times them, and ends them."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeAlias

import redis

from demo import database
from demo.figures import Figures, figures
from demo.judge import Board
from demo.server import DemoError, Place, Sample, sample
from demo.variants import Setup
from demo.worker import GRACE_SECONDS, Done, Job, work
from demo.workload import Load, schedule

Phase: TypeAlias = Callable[[str, float], AbstractContextManager[Callable[[float], None]]]
"""Opens a phase of the progress shown, by title and total; what it gives is told how much is done."""

HEAD_START_SECONDS = 0.3
"""From the word to start until the start: every process has its threads by then."""
LOOK_SECONDS = 0.25
"""How often progress is shown: seldom, since the machine is being measured."""
LOAD_SECONDS = 300.0
ANSWER_SECONDS = 30.0


class _Worker:
    """A client process and its end of the pipe."""

    def __init__(self, job: Job, board: Board) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe: Connection
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(job, board, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def receive(self) -> Any:
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            raise DemoError("A client process has died; its reason stands above.") from error


def run_variant(variant: tuple[str, str], place: Place, load: Load, phase: Phase) -> Figures:
    """Run one variant.

    Args:
        variant: its letter and title.
        place: where: empty.
        load: what to offer.
        phase: shows progress.

    Raises:
        DemoError: a client process died, or loads without end.
    """
    letter, title = variant
    path = place.directory / "orders.sqlite"
    database.create(path, load.users, load.pages)
    board = Board(load.processes, load.users)
    setup = Setup(place.url, place.prefix, load.pages)
    jobs = [Job(letter, setup, path, load, process) for process in range(load.processes)]
    with _workers(jobs, board) as workers, contextlib.closing(redis.Redis.from_url(place.url)) as client:
        with phase(f"{letter} {title}: loading {load.keys:,} keys", load.keys) as tell:
            _wait_until_loaded(workers, board, tell)
        with phase(f"{letter} {title}: {load.rate:,.0f} operations/s", load.seconds) as tell:
            samples = _measure(workers, client, load, tell)
        done = _collect(workers)
    operations = [one for process in range(load.processes) for one in schedule(load, process)]
    return figures(variant, load, operations, done, samples)


@contextmanager
def _workers(jobs: Sequence[Job], board: Board) -> Iterator[list[_Worker]]:
    """Start the client processes; see that they end."""
    workers: list[_Worker] = []
    try:
        for job in jobs:
            workers.append(_Worker(job, board))  # noqa: PERF401 - those that were started are ended if one fails
        yield workers
        for worker in workers:
            worker.process.join(GRACE_SECONDS)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def _wait_until_loaded(workers: Sequence[_Worker], board: Board, tell: Callable[[float], None]) -> None:
    deadline = time.monotonic() + LOAD_SECONDS
    for worker in workers:
        while not worker.pipe.poll(LOOK_SECONDS):
            tell(sum(board.loaded))
            if time.monotonic() > deadline:
                raise DemoError(f"Loading took more than {LOAD_SECONDS:.0f} s. Try fewer --keys.")
        worker.receive()
    tell(sum(board.loaded))


def _measure(
    workers: Sequence[_Worker], client: Any, load: Load, tell: Callable[[float], None]
) -> tuple[Sample, Sample]:
    """Give the word; sample the server at the start and at the end, so that nothing of the loading counts."""
    start_at = time.monotonic() + HEAD_START_SECONDS
    for worker in workers:
        worker.pipe.send(start_at)
    time.sleep(max(0.0, start_at - time.monotonic()))
    before = sample(client)
    while (left := start_at + load.seconds - time.monotonic()) > 0:
        time.sleep(min(LOOK_SECONDS, left))
        tell(time.monotonic() - start_at)
    return before, sample(client)


def _collect(workers: Sequence[_Worker]) -> list[Done]:
    done: list[Done] = []
    for worker in workers:
        if not worker.pipe.poll(ANSWER_SECONDS):
            raise DemoError("A client process does not answer. Run the demo again.")
        done += worker.receive()
    return done
