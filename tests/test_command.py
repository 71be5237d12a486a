"""The command `unstale`: a part whose extra is not installed says so, and keeps no other from working."""

from __future__ import annotations

import subprocess
import sys

import pytest

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "jinja2":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from unstale.tools.cli import main
main()
"""


def run(*words: str) -> tuple[int, str]:
    """Exit status, and all that was said, without jinja2."""
    ended = subprocess.run([sys.executable, "-c", WITHOUT, *words], capture_output=True, text=True, check=False)
    return ended.returncode, " ".join((ended.stdout + ended.stderr).split())


@pytest.mark.parametrize("words", [("lab",), ("lab", "--rate", "3"), ("lab", "--help")])
def test_a_part_that_is_not_installed(words: tuple[str, ...]) -> None:
    """It names the module and the extra, whatever it is asked for."""
    status, said = run(*words)
    assert (status, said) == (2, "unstale lab needs jinja2: pip install 'unstale[lab]'")


def test_the_others_work() -> None:
    """And the help has all of them."""
    assert run("--version")[0] == 0
    status, said = run("--help")
    assert status == 0
    assert "Not installed" in said
    assert "chaos" in said
