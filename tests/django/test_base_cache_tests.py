"""Django's own tests of a cache backend, from its source distribution: `make test` puts them into .venv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers import Server

ROOT = Path(__file__).parent.parent.parent
CULLING = {"test_cull", "test_zero_cull", "test_cull_delete_when_store_empty"}
"""Skip for want of a cache that culls: the server evicts."""


@pytest.fixture(scope="module")
def of_django() -> Path:
    """The folder that holds Django's `tests/cache`."""
    folder = Path(sys.prefix) / "django-tests"
    if not (folder / "cache" / "tests.py").exists():
        if os.environ.get("CI"):
            pytest.fail("Django's source distribution is not in .venv, which CI needs: make test puts it there")
        pytest.skip("Django's source distribution is not in .venv: make test puts it there")
    return folder


def test_all_of_base_cache_tests(server: Server, of_django: Path) -> None:
    """Not one of them is overridden: 51 pass, and the 3 that need a culling cache skip."""
    run = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "tests/children/django_base_cache_tests.py", of_django, server.url],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    outcomes = json.loads(run.stdout.splitlines()[-1])
    assert {name: each for name, each in outcomes.items() if each != "passed"} == dict.fromkeys(
        CULLING, "skipped: Culling isn't implemented."
    )
    assert len(outcomes) == 54
