"""What `unstale lab` refuses is told in a sentence: no traceback, and nothing of a password."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from unstale.tools.cli.lab import console, lab
from unstale.tools.lab import results as written
from unstale.tools.lab.databases import check_database
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.plan import Plan
from unstale.tools.lab.preconditions import _check_memory
from unstale.tools.lab.results import Outcome, Results


def asked(*words: str) -> Result:
    """The command with these words."""
    return CliRunner().invoke(lab, [*words])


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    """A file is where the folder should be."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    told = asked("-v", "unstale", "--keys", "0", "--out", str(in_the_way / "run"))
    assert told.exit_code == 2
    assert "cannot be written: Not a directory." in told.output.replace("\n", " ")


@pytest.mark.parametrize("command", [(), ("scale",)], ids=["lab", "scale"])
def test_a_server_of_the_users_own_is_not_loaded_without_a_yes(command: tuple[str, ...]) -> None:
    """--server takes no URL: that would be a way around --yes."""
    told = asked(*command, "--server", "redis://127.0.0.1:1/0")
    assert told.exit_code == 2
    assert "is named by --url" in told.output.replace("\n", " ")


@pytest.mark.parametrize("url", ["postgres://me:secret/word@127.0.0.1:1/x", "postgres://me:secret@[bad/x"])
def test_an_unreadable_database_url_is_told_without_its_password(url: str) -> None:
    """A slash in a password makes a port of its first part."""
    pytest.importorskip("psycopg")
    with pytest.raises(LabError, match="cannot be read") as told:
        check_database(Plan(database="PostgreSQL"), url)
    assert "secret" not in str(told.value)
    assert told.value.__cause__ is None


def test_a_reason_with_brackets_is_shown_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a log is no markup."""
    monkeypatch.setattr(console, "_width", 200)
    outcome = Outcome(variant="unstale", stands_for="", status="failed", reason="gunicorn: [error] in [/tmp/x]")
    folder = tmp_path / "a [bold]name"
    folder.mkdir()
    written.write(Results(plan=Plan(variants=("unstale",)), outcomes=[outcome]), folder / "results.json")
    told = asked("report", str(folder))
    assert told.exit_code == 0
    assert "gunicorn: [error] in [/tmp/x]" in told.output
    assert str(folder) in told.output.replace("\n", "")


def test_no_keys_need_no_memory() -> None:
    """Where there is none left at all, too."""
    _check_memory(Plan(keys=0), -1.0, "this machine")


def test_a_run_on_postgresql_is_not_resumed_on_sqlite() -> None:
    """Where the database is not named again, the run does not go on with another one."""
    with pytest.raises(LabError, match="--database"):
        check_database(Plan(database="PostgreSQL"), None)


def test_a_run_on_sqlite_is_not_resumed_on_postgresql() -> None:
    """Nor with one where it had none."""
    with pytest.raises(LabError, match="SQLite"):
        check_database(Plan(), "postgres://me@127.0.0.1:1/x")
