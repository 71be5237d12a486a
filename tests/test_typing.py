"""A user's type checker sees the types that are promised: mypy and pyright on `tests/typing`."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.no_cover, pytest.mark.usefixtures("untraced_children")]

ROOT = Path(__file__).parent.parent
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--warn-unused-ignores", "--no-incremental", "--follow-imports=silent"],
    "pyright": ["-m", "pyright", "--pythonpath", sys.executable],
}


def check(checker: str, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run a type checker. Where it is not installed the test is skipped; in CI that is a failure."""
    if importlib.util.find_spec(checker) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{checker} is not installed, which CI needs")
        pytest.skip(f"{checker} is not installed")
    command = [sys.executable, *CHECKERS[checker], *map(str, paths)]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "src"), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False)


@pytest.mark.parametrize("checker", CHECKERS)
def test_public_api(checker: str) -> None:
    """The types are as the file says, and each error that it expects is found."""
    done = check(checker, ROOT / "tests" / "typing" / "api.py")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("checker", CHECKERS)
def test_checker_sees_a_mistake(checker: str, tmp_path: Path) -> None:
    """A checker that took everything for Any would find nothing wrong here either."""
    shutil.copy(ROOT / "tests" / "typing" / "api.py", copied := tmp_path / "api.py")
    with copied.open("a") as file:
        file.write('\n\nassert_type(orders(42), str)\norders("forty-two")\n')
    done = check(checker, copied)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search("assert[-_]type", done.stdout)
    assert '"int"' in done.stdout


def test_package_says_that_it_is_typed() -> None:
    """The marker that tells checkers to read the package's annotations is there."""
    assert (ROOT / "src" / "unstale" / "py.typed").exists()
