"""One process of a phase.

    python -m unstale.tools.chaos.worker JOBFILE

It says "ready" when it is, works until its standard input ends, and leaves its records in files. It never outlives the
run: where that is killed, its standard input ends too, and Linux ends it even if it is stopped at that moment.

Here are the process and its threads. What they do is in `reader`, `async_reader`, `writer`, `replica` and `settler`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from unstale.tools.chaos.job import Job, read_job
from unstale.tools.chaos.loading import Loading
from unstale.tools.chaos.mishaps import Mishaps
from unstale.tools.chaos.reader import Reader
from unstale.tools.chaos.recording import Reads, Writes
from unstale.tools.chaos.rows import Rows
from unstale.tools.chaos.subject import AsyncSubject, Subject, maker, writer_of


def main(path: Path) -> None:
    """Do what the job says."""
    _end_with_the_run()
    stop = threading.Event()
    threading.Thread(target=_watch, args=(stop,), daemon=True).start()
    job = read_job(path)
    rows, mishaps = Rows(job.place.database), Mishaps(job.errors_file)
    rows.load(0)  # its library is imported before anybody waits for it with a lease in hand
    try:
        _KINDS[job.kind](job, rows, mishaps, stop)
    finally:
        mishaps.close()
        rows.close()


def ready() -> None:
    """Say so."""
    print("ready", flush=True)  # noqa: T201 - the run waits for it


def _read(job: Job, rows: Rows, mishaps: Mishaps, stop: threading.Event) -> None:
    loading = Loading(job, rows)
    with Reads(job.reads_file) as file:
        if job.mode == "asyncio":
            asyncio.run(_read_in_tasks(job, loading, mishaps, file, stop))
            return
        subject = cast("Subject", maker(job.subject)(job.place))
        readers = [Reader(job, number, subject, loading, mishaps) for number in range(job.threads)]
        _in_threads([partial(one.run, file.buffer()) for one in readers], stop)
        subject.close()


async def _read_in_tasks(job: Job, loading: Loading, mishaps: Mishaps, file: Reads, stop: threading.Event) -> None:
    from unstale.tools.chaos.async_reader import AsyncReader  # noqa: PLC0415 - threads do without it

    subject, buffer = cast("AsyncSubject", maker(job.subject)(job.place)), file.buffer()
    ready()
    async with asyncio.TaskGroup() as group:
        for number in range(job.threads):
            group.create_task(AsyncReader(job, number, subject, loading, mishaps).run(buffer, stop))
    buffer.flush()
    await subject.close()


def _write(job: Job, rows: Rows, mishaps: Mishaps, stop: threading.Event) -> None:
    from unstale.tools.chaos.writer import Writer  # noqa: PLC0415 - readers do without it

    subject = cast("Subject", maker(writer_of(job.subject))(job.place))
    with Writes(job.writes_file) as writes:
        writers = [Writer(job, one, subject, rows, writes, mishaps) for one in range(job.threads)]
        _in_threads([one.run for one in writers], stop)
    subject.close()


def _settle(job: Job, rows: Rows, mishaps: Mishaps, stop: threading.Event) -> None:
    from unstale.tools.chaos.settler import settle  # noqa: PLC0415 - the others do without it

    settle(job, rows, mishaps, stop)


def _replicate(job: Job, rows: Rows, mishaps: Mishaps, stop: threading.Event) -> None:
    from unstale.tools.chaos.replica import replicate  # noqa: PLC0415 - the others do without it

    del mishaps
    ready()
    replicate(rows, job.lag_seconds, stop)


_KINDS = {"reader": _read, "writer": _write, "settler": _settle, "replica": _replicate}


def _in_threads(works: list[Callable[[threading.Event], None]], stop: threading.Event) -> None:
    """Run them until they have all stopped; what one of them raises ends the process, with status 1."""
    raised: list[BaseException] = []

    def run(work: Callable[[threading.Event], None]) -> None:
        try:
            work(stop)
        except BaseException as error:  # noqa: BLE001 - it is raised below
            raised.append(error)
            stop.set()

    threads = [threading.Thread(target=run, args=(one,)) for one in works]
    for thread in threads:
        thread.start()
    ready()
    for thread in threads:
        thread.join()
    if raised:
        raise raised[0]


def _watch(stop: threading.Event) -> None:
    while os.read(0, 1):  # no lock of sys.stdin's, which the interpreter would wait for at its end
        pass
    stop.set()


def _end_with_the_run() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


if __name__ == "__main__":
    main(Path(sys.argv[1]))
