"""The command `unstale`: a part whose extra is not installed says so, and keeps no other from working."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time

import pytest
from servers import Server

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


SLOW_START = """
import sys, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            print("importing", flush=True)
            try:
                time.sleep(60)
            except BaseException as error:
                raise ImportError("hidden") from error

sys.meta_path.insert(0, Slow())
from unstale.tools.cli import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_at_its_start(number: int) -> None:
    """While libraries are imported, which may hide what is raised meanwhile: no traceback."""
    words = [sys.executable, "-c", SLOW_START, "doctor", "redis://127.0.0.1:1"]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "importing\n"
    time.sleep(0.1)
    child.send_signal(number)
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out, err) == (130, "", "")


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """A line for bash, with `unstale` in it."""
    line = line.replace("unstale", f"{shlex.quote(sys.executable)} -m unstale")
    return subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("output", ["", "--json"])
def test_closed_streams(own_server: Server, output: str) -> None:
    """The report is there all the same."""
    ended = shell(f"unstale doctor --seconds 2 {output} {own_server.url} 2>&- <&-")
    assert ended.returncode in {0, 1, 3}
    assert "own_percent" in ended.stdout if output else "What follows" in ended.stdout


@pytest.mark.parametrize("output", ["", "--json"])
def test_nobody_reads_it(own_server: Server, output: str) -> None:
    """As other commands of a pipe that ends: in silence."""
    ended = shell(f"unstale doctor --seconds 2 {output} {own_server.url} 2> >(cat >&2) | true")
    assert ended.returncode == 141
    assert "Traceback" not in ended.stderr
    assert "Exception" not in ended.stderr


@pytest.mark.parametrize("part", ["doctor", "top", "exporter"])
@pytest.mark.parametrize(
    "url", ["redis://u:secret@[::1/0", "rediss://u:secret@[::1", "redis+cluster://u:secret@[::1,b"]
)
def test_a_url_that_cannot_be_read(part: str, url: str) -> None:
    """A sentence, without its password."""
    ended = shell(f"unstale {part} {shlex.quote(url)}")
    assert ended.returncode == 2
    assert "This URL cannot be read" in " ".join(ended.stderr.split())
    assert "secret" not in ended.stderr
    assert "Traceback" not in ended.stderr
