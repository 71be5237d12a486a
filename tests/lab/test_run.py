"""The lab's course, whole, by its command: real server, real site, real load, at a small size."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
from servers import Server

from unstale.tools.engine import Look
from unstale.tools.lab import results as written
from unstale.tools.lab.live import View
from unstale.tools.lab.plan import VARIANTS, Plan
from unstale.tools.lab.results import Outcome, Results
from unstale.tools.lab.run import _keep, _kept, run
from unstale.tools.lab.sampling import Sampler

REPOSITORY = Path(__file__).parent.parent.parent
SMALL = ["--keys", "300", "--users", "3", "--rate", "25", "--warm", "0.5", "--workers", "2", "--threads", "2"]
PATIENCE = 90.0
MARK = "UNSTALE_LAB_TEST"


class Command:
    """`python -m unstale`, its processes marked so that none can be overlooked."""

    def __init__(self) -> None:
        self.mark = uuid.uuid4().hex
        path = os.pathsep.join(filter(None, [str(REPOSITORY / "src"), os.environ.get("PYTHONPATH", "")]))
        self.environment = {**os.environ, "PYTHONPATH": path, MARK: self.mark, "COLUMNS": "80"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin it."""
        return subprocess.Popen(
            [sys.executable, "-m", "unstale", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        """All of it: exit code, output, errors."""
        process = self.start(*words)
        out, err = process.communicate(timeout=PATIENCE)
        return process.returncode, out, err

    def processes(self) -> list[str]:
        """What is left of it."""
        return [" ".join(one.cmdline()) for one in psutil.process_iter() if self._is_ours(one)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def all_ended(self) -> bool:
        """Whether nothing of it runs any more, some time after."""
        give_up_at = time.monotonic() + 20
        while self.processes() and time.monotonic() < give_up_at:
            time.sleep(0.05)
        return not self.processes()


@pytest.fixture
def command() -> Iterator[Command]:
    """The command; whatever a failed test has left is ended."""
    one = Command()
    yield one
    for process in psutil.process_iter():
        if one._is_ours(process):
            process.kill()


def wait_for(process: subprocess.Popen[str], condition: Callable[[], bool]) -> None:
    """Wait while the command runs."""
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < give_up_at
        time.sleep(0.05)


def test_a_run_from_its_beginning_to_its_report(command: Command, tmp_path: Path) -> None:
    """Two steps are measured; nothing is stale with unstale; the results are whole, and the report is there."""
    out = tmp_path / "run"
    code, said, errors = command.run(
        "lab", "-v", "no-deletes", "-v", "unstale", "--seconds", "2", "--out", str(out), *SMALL
    )
    assert (code, errors) == (0, "")
    found = written.read(out / "results.json")
    assert [(one.variant, one.status, one.reason) for one in found.outcomes] == [
        ("no-deletes", "complete", ""),
        ("unstale", "complete", ""),
    ]
    figures = {one.variant: written.figures(one, found.plan) for one in found.outcomes}
    assert figures["unstale"].stale == 0
    assert figures["unstale"].errors == 0
    assert figures["unstale"].actions > 0
    assert {one.requests.due == found.outcomes[0].requests.due for one in found.outcomes} == {True}
    assert [round(one.samples[-1].at, 6) for one in found.outcomes] == [2.0, 2.0]
    assert found.outcomes[0].keys == 300
    assert "unstale" in said
    assert (out / "report.html").stat().st_size > 10_000
    assert command.all_ended()


def test_ctrl_c_ends_everything_and_the_run_can_be_resumed(command: Command, tmp_path: Path) -> None:
    """Stopped in the middle of a step: no process is left, what was measured is kept, and the rest is run later."""
    out = tmp_path / "run"
    options = ["lab", "-v", "no-deletes", "--seconds", "60", "--out", str(out), *SMALL]
    process = command.start(*options)
    wait_for(process, lambda: any("tools.lab.load" in one for one in command.processes()))
    time.sleep(7)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert f"unstale lab --resume --out {out}" in errors
    assert command.all_ended()
    stopped = written.read(out / "results.json")
    assert stopped.outcomes[0].status == "interrupted"
    assert len(stopped.outcomes[0].requests.due) > 0
    shorter = msgspec.structs.replace(stopped.plan, seconds=1.0)
    stopped.plan = shorter
    written.write(stopped, out / "results.json")
    code, _, errors = command.run("lab", "--resume", "--out", str(out))
    assert (code, errors) == (0, "")
    assert [one.status for one in written.read(out / "results.json").outcomes] == ["complete"]
    assert command.all_ended()


def test_a_step_that_was_complete_is_not_run_again(command: Command, tmp_path: Path) -> None:
    """Resuming a run with nothing left to do only draws its report."""
    outcome = Outcome(variant="unstale", stands_for="a step", status="complete", begun_at="2026-01-01T00:00:00+00:00")
    written.write(Results(plan=Plan(variants=("unstale",), keys=10), outcomes=[outcome]), tmp_path / "results.json")
    code, _, errors = command.run("lab", "--resume", "--out", str(tmp_path))
    assert (code, errors) == (0, "")
    assert written.read(tmp_path / "results.json").outcomes[0].begun_at == "2026-01-01T00:00:00+00:00"


def test_a_last_look_that_comes_late_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy server answers after the load has ended; the window is measured to its end all the same."""
    look = Sampler._look

    def late(sampler: Sampler) -> Look:
        time.sleep(0.7)
        return look(sampler)

    monkeypatch.setattr(Sampler, "_look", late)
    plan = Plan(variants=("no-deletes",), keys=10, users=2, rate=5, seconds=1, warm_seconds=0, workers=1)
    (outcome,) = run(plan, tmp_path, View(plan)).outcomes
    assert [round(one.at, 6) for one in outcome.samples] == [1.0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-v", "faster"], ["no variant faster", "baseline"]),
        (["--url", "redis://127.0.0.1:1/1"], ["--yes"]),
        (["--url", "redis://127.0.0.1:1/1", "--yes"], ["127.0.0.1:1", "cannot be reached"]),
        (["--resume"], ["--out"]),
        (["--resume", "--out", "nothing/here"], ["results.json", "cannot be read"]),
        (["--server", "no-such-server"], ["no-such-server", "Install"]),
        (["--keys", "2000000000"], ["MB", "Ask for fewer"]),
    ],
)
def test_what_cannot_be_done_is_said(command: Command, tmp_path: Path, options: list[str], words: list[str]) -> None:
    """Each with a sentence and status 2, before anything is started, and without a traceback."""
    where = [] if "--resume" in options else ["--out", str(tmp_path / "run")]
    code, _, errors = command.run("lab", *options, *where)
    assert code == 2
    assert [word for word in words if word not in errors.replace("\n", " ")] == []
    assert "Traceback" not in errors
    assert command.all_ended()


def test_a_folder_with_results_is_not_written_over(command: Command, tmp_path: Path) -> None:
    """A run that is there is gone on with, or left alone."""
    written.write(Results(plan=Plan()), tmp_path / "results.json")
    code, _, errors = command.run("lab", "--out", str(tmp_path))
    assert (code, "--resume" in errors) == (2, True)
    assert json.loads((tmp_path / "results.json").read_text())["outcomes"] == []


def test_a_server_that_holds_data_is_left_alone(
    command: Command, session_servers: Callable[[str], Server], tmp_path: Path
) -> None:
    """A database of the user's in which there is something is not used, and nothing in it is changed."""
    server = session_servers("valkey")
    url = server.url.replace("/0", "/7")
    with server.client as client:
        client.select(7)
        client.set("theirs", "1")
        code, _, errors = command.run("lab", "--url", url, "--yes", "--out", str(tmp_path / "run"))
        assert (code, "1 key" in errors.replace("\n", " ")) == (2, True)
        assert client.keys("*") == [b"theirs"]
        client.delete("theirs")


def test_outcomes_stand_in_the_order_of_the_plan() -> None:
    """Whatever was run first: a step that is run again takes its own place."""
    results = Results(plan=Plan(variants=("baseline", "unstale")))
    for name in ("unstale", "baseline", "unstale"):
        _keep(results, Outcome(variant=name, stands_for=VARIANTS[name].stands_for, status="complete"))
    assert [one.variant for one in results.outcomes] == ["baseline", "unstale"]


def test_what_a_killed_lab_has_left_is_known(
    command: Command, session_servers: Callable[[str], Server], tmp_path: Path
) -> None:
    """Keys of the lab's in the user's database are named as such, with what removes them."""
    server = session_servers("valkey")
    with server.client as client:
        client.select(7)
        client.set("lab-abc123:1:user:1:orders:1", "1")
        code, _, errors = command.run(
            "lab", "--url", server.url.replace("/0", "/7"), "--yes", "--out", str(tmp_path / "run")
        )
        client.delete("lab-abc123:1:user:1:orders:1")
    assert (code, "--pattern 'lab-*'" in errors) == (2, True)


def test_a_server_of_the_users_own_is_left_as_it_was_found(
    command: Command, session_servers: Callable[[str], Server], tmp_path: Path
) -> None:
    """All keys are gone afterwards, and neither the results nor the report have the password."""
    server = session_servers("valkey")
    url = server.url.replace("/0", "/7").replace("//", "//default:hidden@")  # a user without a password takes any
    out = tmp_path / "run"
    code, said, errors = command.run(
        "lab", "-v", "unstale", "-v", "smaller-node", "--url", url, "--yes", "--seconds", "1", "--out", str(out), *SMALL
    )
    assert (code, errors) == (0, "")
    found = written.read(out / "results.json")
    assert [(one.variant, one.status) for one in found.outcomes] == [
        ("unstale", "complete"),
        ("smaller-node", "skipped"),
    ]
    with server.client as client:
        client.select(7)
        assert client.dbsize() == 0
    assert "hidden" not in said + (out / "results.json").read_text() + (out / "report.html").read_text()


def test_the_password_is_not_needed_to_find_a_run_again() -> None:
    """What is written down of a server is what it is compared by."""
    assert _kept(Plan(server="redis://me:hidden@cache/5")) == Plan(server="redis://cache/5")


def test_a_fault_of_the_labs_own_loses_no_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It is the step's reason, its traceback is kept, and what was measured before stays in the results."""

    def broken(*_: object) -> None:
        raise KeyError("used_memory")

    monkeypatch.setattr("unstale.tools.lab.run.serving_cache", broken)
    plan = Plan(variants=("baseline", "unstale"), keys=10)
    done = Outcome(variant="baseline", stands_for="a step", status="complete")
    written.write(Results(plan=plan, outcomes=[done]), tmp_path / "results.json")
    run(plan, tmp_path, View(plan), resume=True)
    found = written.read(tmp_path / "results.json").outcomes
    assert [(one.variant, one.status) for one in found] == [("baseline", "complete"), ("unstale", "failed")]
    assert "KeyError: 'used_memory'" in found[1].reason
    assert "Traceback" in (tmp_path / "logs" / "unstale" / "lab.log").read_text()
