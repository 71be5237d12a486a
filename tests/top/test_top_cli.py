"""`unstale top` on a terminal of its own, and without one."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babblers import Answer, always, babbler, trickle
from clusters import Cluster
from reading import READING
from servers import Server
from typer.testing import CliRunner

from unstale.tools.cli import top as command
from unstale.tools.cli.application import application
from unstale.tools.doctor.errors import SpentError
from unstale.tools.top import following
from unstale.tools.top.view import KEYS

PATIENT_SECONDS = 60.0
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\([A-Z0-9])")


class Terminal:
    """A terminal of 80 × 24 that the command runs on."""

    def __init__(self, *words: str, term: str = "xterm-256color") -> None:
        self.controller, self.terminal = pty.openpty()
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.before = termios.tcgetattr(self.terminal)
        self.child = subprocess.Popen(
            [sys.executable, "-m", "unstale", "top", *words],
            stdin=self.terminal,
            stdout=self.terminal,
            stderr=self.terminal,
            env={**os.environ, "TERM": term, "COLUMNS": "80", "LINES": "24"},
        )
        self.text = ""

    def until(self, *wanted: str) -> None:
        """Read on until all of this was written since the last time."""
        self.text = ""
        deadline = time.monotonic() + PATIENT_SECONDS
        while not all(one in self.text for one in wanted):
            assert time.monotonic() < deadline, self.text[-3000:]
            if select.select([self.controller], [], [], 0.5)[0]:
                self.text += _ESCAPES.sub("", os.read(self.controller, 65536).decode("utf-8", "replace"))

    def press(self, keys: str) -> None:
        os.write(self.controller, keys.encode())

    def ended(self) -> int:
        """Its exit status; what it still writes is read, so that it is not held up."""
        deadline = time.monotonic() + PATIENT_SECONDS
        while self.child.poll() is None and time.monotonic() < deadline:
            if select.select([self.controller], [], [], 0.1)[0]:
                self.text += _ESCAPES.sub("", os.read(self.controller, 65536).decode("utf-8", "replace"))
        return self.child.wait(1)

    def close(self) -> None:
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.controller)
        os.close(self.terminal)


@pytest.fixture
def terminal() -> Iterator[Any]:
    """Makes terminals."""
    made: list[Terminal] = []

    def make(*words: str, **how: str) -> Terminal:
        made.append(Terminal(*words, **how))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_keys_and_the_end(server: Server, terminal: Any) -> None:
    """It is drawn, sorts, pauses, and leaves the terminal as it was."""
    one = terminal("--interval", "0.3", server.url)
    one.until("engine", "alarm 90 %", KEYS, "(by cpu)")
    one.press("s")
    one.until("(by calls)")
    one.press("p")
    one.until("PAUSED")
    one.press("p")
    one.until("invalidations")
    one.press("q")
    assert one.ended() == 0
    assert termios.tcgetattr(one.terminal) == one.before
    assert "Traceback" not in one.text


def test_it_survives_the_server(own_server: Server, terminal: Any) -> None:
    """Killed, it is away; back, it is shown again."""
    one = terminal("--interval", "0.3", own_server.url)
    one.until("engine", KEYS)
    own_server.kill()
    one.until("Trying again.")
    own_server.start()
    one.until("engine", "hit rate")
    one.press("q")
    assert one.ended() == 0


def test_ctrl_c(server: Server, terminal: Any) -> None:
    """Ends it, too, with the exit status of what was stopped."""
    one = terminal("--interval", "0.3", server.url)
    one.until("engine")
    one.press("\x03")
    os.kill(one.child.pid, signal.SIGINT)  # the pty is not its controlling terminal
    assert one.ended() == 130
    assert termios.tcgetattr(one.terminal) == one.before


def test_without_a_terminal(server: Server) -> None:
    """Each window once, so many as are asked for."""
    words = [sys.executable, "-m", "unstale", "top", "--interval", "0.3", "--count", "2", server.url]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=PATIENT_SECONDS, check=False)
    assert ended.returncode == 0
    windows = ended.stdout.split("\n\n")
    assert [window.count("alarm 90 %") for window in windows] == [1, 1]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\n", window) for window in windows)
    assert KEYS not in ended.stdout
    assert "\x1b" not in ended.stdout
    assert max(map(len, ended.stdout.splitlines())) <= 80


def test_a_terminal_that_cannot_move_its_cursor(server: Server, terminal: Any) -> None:
    """Is none: the windows come one below the other."""
    one = terminal("--interval", "0.3", "--count", "2", server.url, term="dumb")
    one.until("alarm 90 %", "alarm 90 %")
    assert one.ended() == 0
    assert KEYS not in one.text


NOBODY = {
    "a status": always(b"+OK\r\n"),
    "a nil": always(b"$-1\r\n"),
    "a trickle": trickle(b"$100000\r\n"),
}


@pytest.mark.parametrize("answer", NOBODY.values(), ids=NOBODY)
def test_who_never_tells_anything(answer: Answer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its trouble is shown, it is tried again, and after the last window that is the end, with status 2."""
    monkeypatch.setattr(following, "ROUND_SECONDS", 0.5)
    with babbler(answer) as port:
        words = ["top", "--interval", "0.3", "--count", "2", f"redis://127.0.0.1:{port}"]
        result = CliRunner().invoke(application, words)
    assert result.exit_code == 2
    assert result.output.count("Trying again.") == 2
    assert "No server has told any figures." in result.output


def test_a_thread_that_dies_ends_it(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was not foreseen is told in a sentence."""

    def fails(*_: object) -> None:
        raise SpentError

    monkeypatch.setattr(following.Watch, "look", fails)
    result = CliRunner().invoke(application, ["top", "--interval", "0.3", "--count", "2", server.url])
    assert result.exit_code == 2
    assert "is not followed any more (SpentError" in result.output


def test_a_page_that_never_ends_holds_nothing_up(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It cannot be reached."""
    monkeypatch.setattr(command, "PAGE_SECONDS", 0.2)
    with babbler(trickle(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        words = ["--interval", "0.5", "--count", "2", "--metrics", f"http://127.0.0.1:{port}", server.url]
        result = CliRunner().invoke(application, ["top", *words])
    assert result.exit_code == 0
    assert "the application's page cannot be reached" in result.output


def test_a_cluster_with_a_dead_node(cluster: Cluster) -> None:
    """All nodes are listed, and the dead one is away."""
    dead = cluster.nodes[0]
    dead.kill()
    words = [sys.executable, "-m", "unstale", "top", "--interval", "0.5", "--count", "4", cluster.url]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=PATIENT_SECONDS, check=False)
    assert ended.returncode == 0
    assert all(f"127.0.0.1:{node.port}" in ended.stdout for node in cluster.nodes)
    assert re.search(rf"127\.0\.0\.1:{dead.port} +away", ended.stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ftp://me:secret@h",), "must begin with one of"),
        (("redis+cluster://me:secret@127.0.0.1:1",), "No node of the cluster answers"),
        (("--metrics", "file:///a", "redis://me:secret@127.0.0.1:1"), "--metrics takes the URL"),
    ],
)
def test_what_cannot_be_done(words: tuple[str, ...], said: str) -> None:
    """In a sentence, without the password."""
    result = CliRunner().invoke(application, ["top", *words])
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert "secret" not in result.output


def test_it_only_reads(server: Server) -> None:
    """A real server's statistics have no other commands than the doctor's."""
    with server.client as client:
        client.set("a", 1)
        client.config_resetstat()
    words = [sys.executable, "-m", "unstale", "top", "--interval", "0.3", "--count", "3", server.url]
    subprocess.run(words, capture_output=True, timeout=PATIENT_SECONDS, check=True)
    with server.client as client:
        sent = {name.removeprefix("cmdstat_") for name in client.info("commandstats")}
    assert {"info", "scan"} <= sent
    assert sent - {"client", "config|resetstat"} <= READING


def test_its_module_is_documented() -> None:
    """docs/doctor.md has the command."""
    assert "unstale top" in (Path(__file__).parent.parent.parent / "docs" / "doctor.md").read_text(encoding="utf-8")
