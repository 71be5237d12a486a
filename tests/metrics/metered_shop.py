"""The shop under gunicorn with several workers and with metrics, as docs/metrics.md sets it up; for tests."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from servers import end_with_its_own, free_port

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SHOP = ROOT / "examples" / "shop"
WORKERS = 3
LONGEST_SECONDS = 60.0

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples_of(text: str) -> Samples:
    """All samples of a page."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@dataclass
class Shop:
    """A shop that runs.

    Attributes:
        process: gunicorn's first one.
        environment: of its processes.
        answers: how often X-Cache said hit and miss.
        workers: which of its processes have answered.
    """

    port: int
    process: subprocess.Popen[bytes]
    environment: dict[str, str]
    answers: Counter[str] = field(default_factory=Counter)
    workers: set[int] = field(default_factory=set)

    def ask(self, path: str, user: int | None = None, order: dict[str, int] | None = None) -> str:
        """One request, over a connection of its own: any worker may have it."""
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Token token-of-user{user}"} if user is not None else {}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_SECONDS)) as connection:
            body = None if order is None else json.dumps(order)
            connection.request("GET" if order is None else "POST", path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
        assert response.status in (200, 201), text[:300]
        self.workers.add(int(response.headers["X-Process"]))
        if "X-Cache" in response.headers:
            self.answers[response.headers["X-Cache"]] += 1
        return text

    def page(self) -> Samples:
        """What the metrics page says; any worker may answer."""
        return samples_of(self.ask("/metrics"))

    def manage(self, *words: str) -> None:
        """Run manage.py."""
        subprocess.run([sys.executable, SHOP / "manage.py", *words], env=self.environment, check=True)

    def until(self, is_so: Callable[[Samples], bool], each: Callable[[], object] = lambda: None) -> Samples:
        """The page, once something is so on it; until then `each` is called."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not is_so(page := self.page()):
            assert time.monotonic() < deadline, page
            each()
            time.sleep(0.05)
        return page


def total(page: Samples, name: str, **labels: str) -> float:
    """The sum of all samples of a name, with these labels and any others."""
    return sum(value for (one, has), value in page.items() if one == name and labels.items() <= dict(has).items())


@contextmanager
def metered_shop(home: Path, cache_url: str, workers: int = WORKERS) -> Iterator[Shop]:
    """The shop, migrated, filled and served."""
    folder = home / "metrics"
    folder.mkdir(parents=True)
    port = free_port()
    environment: dict[str, str] = {
        **os.environ,
        "SHOP_HOME": str(home),
        "SHOP_CACHE": cache_url,
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", SHOP, HERE / "metered"))),
        "DJANGO_SETTINGS_MODULE": "metered_settings",
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
    }
    for words in (("migrate", "--verbosity", "0"), ("seed",)):
        plain = {**environment, "DJANGO_SETTINGS_MODULE": "shop.settings"}
        subprocess.run([sys.executable, SHOP / "manage.py", *words], env=plain, check=True, capture_output=True)
    command: list[Any] = [sys.executable, "-m", "gunicorn", "--config", HERE / "metered" / "gunicorn_conf.py"]
    command += ["--bind", f"127.0.0.1:{port}", "--workers", str(workers), "--log-level", "warning", "shop.wsgi"]
    log = home / "shop.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        shop = Shop(port, process, environment)
        _wait_until_it_serves(shop, log)
        yield shop
    finally:
        end_with_its_own(process)


def _wait_until_it_serves(shop: Shop, log: Path) -> None:
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        assert shop.process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        try:
            shop.page()
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)
        else:
            return
