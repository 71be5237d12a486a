"""`unstale chaos`: what it does, refuses, and says by its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from servers import Server
from typer.testing import CliRunner, Result

from unstale.tools.chaos.phases import PHASES
from unstale.tools.chaos.results import read
from unstale.tools.cli import chaos as module
from unstale.tools.cli.chaos import chaos

SMALL = ("--seconds", "1", "--calm", "0.2", "--seed", "1", "--rows", "8", "--reads", "1000", "--writes", "20")


def asked(*words: str) -> Result:
    """The command with these words."""
    return CliRunner().invoke(chaos, [*words])


def told(result: Result) -> str:
    """What it said, on one line."""
    return " ".join(result.output.split())


def test_the_phases_are_listed() -> None:
    """Each with what it shows."""
    listed = asked("--list")
    assert listed.exit_code == 0
    assert all(f"{one.name} " in listed.output and one.says in told(listed) for one in PHASES.values())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-p", "nowhere"), "There is no phase nowhere"),
        (("--url", "redis://127.0.0.1:1/0"), "needs --yes"),
        (("--server", "redis://127.0.0.1:1/0"), "is named by --url"),
        (("--url", "redis://127.0.0.1:1/0", "--server", "redis-server", "--yes"), "name one of them"),
        (("--url", "redis://me:secret@127.0.0.1:1/0", "--yes"), "cannot be reached"),
        (("--url", "redis://me:secret/word@127.0.0.1:1/0", "--yes"), "cannot be read"),
        (("--url", "memory://", "--yes"), "no server that chaos can be tried on"),
        (("--url", "localhost:6379", "--yes"), "as in redis://localhost:6379/5"),
        (("--url", "redis+cluster://me:secret@localhost:1", "--yes"), "is for one server"),
        (("--server", "no-such-server"), "There is no program no-such-server"),
        (("--database", "mysql://me:secret@h/x"), "postgres://user:password@host"),
    ],
)
def test_what_cannot_be_done_is_told(words: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """In a sentence without a password, with exit status 2, and before a folder is made."""
    refused = asked(*words, "--out", str(tmp_path / "out"))
    assert refused.exit_code == 2
    assert said in told(refused)
    assert "secret" not in refused.output
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_well(tmp_path: Path) -> None:
    """A line for its phase, the table, the results, and exit status 0; the table can be had again."""
    ran = asked("-p", "calm", *SMALL, "--out", str(tmp_path / "out"))
    assert ran.exit_code == 0, ran.output
    assert "calm, unstale, seed 1:" in ran.output
    [outcome] = read(tmp_path / "out" / "results.json").outcomes
    assert (outcome.status, outcome.problems) == ("complete", [])
    again = asked("report", str(tmp_path / "out"))
    assert again.exit_code == 0
    assert again.output.splitlines() == ran.output.splitlines()[3:]
    assert "| `calm` |" in asked("report", str(tmp_path / "out"), "--markdown").output


def test_a_run_that_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that is stale: exit status 1, and the first examples."""
    phase = PHASES["lagging-database"]
    phase = msgspec.structs.replace(phase, name="bad", subject="deletes", faults=(), least_hit_rate=None)
    monkeypatch.setattr(module, "PHASES", {"bad": phase})
    monkeypatch.setattr(module, "phases_of", tuple)
    ran = asked("-p", "bad", *SMALL, "--out", str(tmp_path / "out"))
    assert ran.exit_code == 1
    assert "had been invalidated" in ran.output


def test_peers_do_not_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are stale, and unstale is not: exit status 0."""
    phase = msgspec.structs.replace(PHASES["lagging-database"], name="bad", faults=(), least_hit_rate=None)
    monkeypatch.setattr(module, "PHASES", {"bad": phase})
    monkeypatch.setattr(module, "phases_of", tuple)
    monkeypatch.setattr(module, "PEERS", ("deletes",))
    ran = asked("-p", "bad", *SMALL, "--peers", "--out", str(tmp_path / "out"))
    assert ran.exit_code == 0, ran.output
    first, second = read(tmp_path / "out" / "results.json").outcomes
    assert (first.counts.stale, second.subject, second.counts.stale > 0) == (0, "deletes", True)


def test_a_server_of_the_users_own(own_server: Server, tmp_path: Path) -> None:
    """It may be flushed and evicted from: only the run's own names go, and at the end none of them is left."""
    with own_server.client as client:
        client.mset({"theirs": "1", "unstale-chaos": "2", "unstale:s:x": "3"})
        words = ("--url", own_server.url, "--yes", "-p", "flushed", "-p", "evicted-stamps", "-p", "outage")
        ran = asked(*words, *SMALL, "--out", str(tmp_path / "out"))
        assert sorted(client.keys()) == [b"theirs", b"unstale-chaos", b"unstale:s:x"]
    assert ran.exit_code == 0, ran.output
    outcomes = read(tmp_path / "out" / "results.json").outcomes
    assert [one.status for one in outcomes] == ["complete", "complete", "skipped"]
    assert all(one.counts.strikes for one in outcomes[:2])


def test_by_default_a_users_server_gets_what_is_safe() -> None:
    """And a server of the run's own everything."""
    assert list(module._default_phases("redis://h")) == [name for name, one in PHASES.items() if one.is_safe]
    assert list(module._default_phases(None)) == [name for name in PHASES if name != "long-outage"]


def test_nothing_tried_is_nothing_shown(own_server: Server, tmp_path: Path) -> None:
    """A phase that may not be done there, alone: exit status 2. And who asked for peers is told that there is none."""
    words = ("--url", own_server.url, "--yes", "-p", "outage", "--peers", "--out", str(tmp_path / "out"))
    ran = asked(*words, *SMALL)
    assert ran.exit_code == 2
    assert "every phase was skipped" in told(ran)
    assert "No peer is among them" in told(ran)
    assert asked("report", str(tmp_path / "out" / "results.json")).exit_code == 0


def test_ctrl_c_judges_what_there_is_and_leaves_nothing(tmp_path: Path) -> None:
    """Exit status 130, the table, the results; no folder of the run's in the system's."""
    (scratch := tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "unstale", "chaos", "-p", "calm", "--seconds", "600", "--seed", "1"]
    running = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 90
        while not (
            list(scratch.rglob("settler-*.log")) and sum(path.stat().st_size for path in scratch.rglob("*.reads"))
        ):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        time.sleep(1.0)  # the last of its processes is started: from here on there is something to judge
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=90)
    finally:
        running.kill()
    assert running.returncode == 130, output
    assert "Stopped." in output
    assert "in all, unstale" in output
    [outcome] = read(tmp_path / "out" / "results.json").outcomes
    assert outcome.status == "interrupted"
    assert outcome.counts.reads > 0
    assert list(scratch.iterdir()) == []
