"""Metrics of several processes beside gunicorn's: uvicorn's workers, and the children of a Celery worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from metered_shop import HERE, ROOT, Samples, samples_of, total
from servers import Server, end_with_its_own, free_port

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("untraced_children")]

LONGEST_SECONDS = 60.0


def fetched(port: int, path: str) -> str:
    """An answer; OSError where there is none."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
        return answer.read().decode()


def page(port: int) -> Samples:
    """The metrics page."""
    return samples_of(fetched(port, "metrics/"))


@contextmanager
def running(folder: Path, port: int, words: list[str], **environment: str) -> Iterator[dict[str, str]]:
    """A program of several processes, until it answers at a port; gives its environment."""
    (folder / "metrics").mkdir(parents=True)
    variables = {
        **os.environ,
        **environment,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", HERE / "metered"))),
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
    }
    log = folder / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], env=variables, cwd=folder, stdout=out, stderr=out, start_new_session=True
        )
    try:
        deadline = time.monotonic() + LONGEST_SECONDS
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            try:
                page(port)
            except OSError:
                time.sleep(0.1)
            else:
                break
        yield variables
    finally:
        end_with_its_own(process)


def read_by_two(read: Callable[[int], int]) -> int:
    """Read until two processes have; how many reads that were."""
    seen: set[int] = set()
    deadline = time.monotonic() + LONGEST_SECONDS
    count = 0
    while len(seen) < 2 or count < 20:
        assert time.monotonic() < deadline, seen
        seen.add(read(count % 3))
        count += 1
    return count


def test_uvicorn(server: Server, tmp_path: Path) -> None:
    """Whichever worker answers, the page has the reads of both."""
    port = free_port()
    words = ["uvicorn", "--workers", "2", "--port", str(port), "--log-level", "warning", "metered_fastapi:app"]
    with running(tmp_path / "api", port, words, METERED_CACHE=server.url):
        count = read_by_two(lambda user: json.loads(fetched(port, f"orders/{user}"))["process"])
        for _ in range(5):
            found = page(port)
            assert total(found, "unstale_misses_total", cache="api") == 3
            assert total(found, "unstale_hits_total", cache="api") == count - 3


def test_celery(server: Server, tmp_path: Path) -> None:
    """The worker's first process shows what its children have done."""
    port = free_port()
    words = [
        "celery",
        "-A",
        "metered_celery",
        "worker",
        "--concurrency",
        "2",
        "--pool",
        "prefork",
        "--loglevel",
        "warning",
    ]
    given = {"METERED_CACHE": server.url, "METERED_BROKER": server.url, "METERED_PORT": str(port)}
    with running(tmp_path / "tasks", port, words, **given) as environment:
        alone = {name: value for name, value in environment.items() if name != "PROMETHEUS_MULTIPROC_DIR"}
        code = "import metered_celery as m\nwhile True: print(m.read.delay(int(input())).get(timeout=30), flush=True)"
        with subprocess.Popen(
            [sys.executable, "-c", code], env=alone,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        ) as client:  # fmt: skip
            assert client.stdin is not None
            assert client.stdout is not None

            def read(user: int) -> int:
                client.stdin.write(f"{user}\n")
                client.stdin.flush()
                return int(client.stdout.readline())

            count = read_by_two(read)
            client.kill()
        found = page(port)
        assert total(found, "unstale_misses_total", cache="tasks") == 3
        assert total(found, "unstale_hits_total", cache="tasks") == count - 3
