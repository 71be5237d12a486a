"""Prometheus's own programs for tests: promtool, and a server of a test's own. Debian has both in `prometheus`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
import yaml
from servers import free_port

MONITORING = Path(__file__).parent.parent.parent / "monitoring"
LONGEST_SECONDS = 90.0


def require_program(name: str) -> str:
    """Where a program is. Skip where there is none; in CI that is a failure."""
    found = shutil.which(name)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, which CI needs: apt-get install prometheus")
        pytest.skip(f"{name} is not installed")
    return found


def promtool(*words: str | Path) -> tuple[int, str]:
    """Its exit status, and all that it says."""
    ended = subprocess.run([require_program("promtool"), *words], capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


class Prometheus:
    """A Prometheus of a test's own, which scrapes every second. Use as a context manager."""

    def __init__(self, directory: Path, targets: dict[str, str], rules: list[Path]) -> None:
        """Start nothing yet.

        Args:
            directory: for its configuration and data.
            targets: host and port of what is scraped, at /metrics, by job.
            rules: files of rules, looked at every second.
        """
        self.port = free_port()
        self._directory = directory
        directory.mkdir(parents=True)
        jobs = [{"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()]
        every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        configuration = {"global": every, "rule_files": [str(file) for file in rules], "scrape_configs": jobs}
        (directory / "prometheus.yml").write_text(yaml.safe_dump(configuration))

    def __enter__(self) -> Self:
        command = [require_program("prometheus"), f"--config.file={self._directory / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={self._directory / 'data'}", f"--web.listen-address=127.0.0.1:{self.port}"]
        with (self._directory / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        self.until(self._is_ready)
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def query(self, text: str) -> list[dict[str, Any]]:
        """The samples of an instant query."""
        return self._ask(f"query?{urllib.parse.urlencode({'query': text})}")["result"]

    def value(self, text: str) -> float | None:
        """The value of a query with one sample; None where it has none."""
        found = self.query(text)
        assert len(found) <= 1, found
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        """The alerts that fire."""
        return {one["labels"]["alertname"] for one in self._ask("alerts")["alerts"] if one["state"] == "firing"}

    def until(self, is_so: Callable[[], object]) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + LONGEST_SECONDS
        while not is_so():
            assert self._process.poll() is None, self._log()
            assert time.monotonic() < deadline, self._log()
            time.sleep(0.2)

    def _ask(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=30) as answer:
            told = json.load(answer)
        assert told["status"] == "success", told
        return told["data"]

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=30) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _log(self) -> str:
        return (self._directory / "prometheus.log").read_text()[-3000:]
