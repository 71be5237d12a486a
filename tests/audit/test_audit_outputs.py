"""Comments, baselines and outputs; and the command itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from unstale.tools.audit import AuditError, Report, audit
from unstale.tools.audit.baseline import baseline_of, read, split, written
from unstale.tools.audit.rules import RULES
from unstale.tools.audit.sarif import log, sarif
from unstale.tools.audit.text import lines

CODE = """\
from django.core.cache import cache


def changed(pk):
    cache.delete_pattern(f"user:{pk}:*")


def act():
    changed(1)
    cache.clear()
"""


def report_of(folder: Path, code: str = CODE) -> Report:
    """The audit of one file, a.py."""
    (folder / "a.py").write_text(code)
    return audit(folder)


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """The command."""
    return subprocess.run(
        [sys.executable, "-m", "unstale", "audit", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    "comment",
    [
        "cache.clear()  # unstale: ignore[UNS003] once a night",
        "# unstale: ignore[UNS003, UNS001] once a night\n    cache.clear()",
    ],
)
def test_a_comment_with_a_reason(tmp_path: Path, comment: str) -> None:
    """It lets its finding pass, on the line or above it, and is kept with its reason."""
    report = report_of(tmp_path, CODE.replace("cache.clear()", comment))
    assert [finding.rule for finding in report.findings] == ["UNS001"]
    assert [(finding.rule, finding.ignored) for finding in report.ignored] == [("UNS003", "once a night")]
    assert report.problems == ()


@pytest.mark.parametrize(
    ("comment", "said"),
    [
        ("# unstale: ignore[UNS003]", "no reason"),
        ("# unstale: ignore because", "name them"),
        ("# unstale: ignore[UNS999] because", "UNS999"),
        ("# unstale: ignore[UNS001] because", "nothing to pass"),
    ],
)
def test_a_comment_that_does_not_count(tmp_path: Path, comment: str, said: str) -> None:
    """One without a reason, without a rule, with another rule: the finding stays, and it is told."""
    report = report_of(tmp_path, CODE.replace("cache.clear()", f"cache.clear()  {comment}"))
    assert [finding.rule for finding in report.findings] == ["UNS001", "UNS003"]
    assert said in report.problems[0].why


def test_a_text_that_looks_like_a_comment(tmp_path: Path) -> None:
    """Only comments count, not texts."""
    report = report_of(tmp_path, CODE + 'x = "# unstale: ignore[UNS003] no"\n')
    assert (len(report.findings), report.problems) == (2, ())


def test_a_baseline(tmp_path: Path) -> None:
    """What it knows does not count, also where it has moved; a second one like it does."""
    report = report_of(tmp_path)
    file = tmp_path / "known.json"
    file.write_bytes(written(baseline_of(report.findings)))
    moved = report_of(tmp_path, "import os\n\n\n" + CODE)
    assert split(moved.findings, read(file))[0] == []
    twice = report_of(tmp_path, CODE + "    cache.clear()\n")
    assert [finding.line for finding in audit(tmp_path, baseline=read(file)).findings] == [11]
    assert len(twice.findings) == 3


@pytest.mark.parametrize("content", ["", "{}", '{"version": 9, "known": []}', "[1]"])
def test_no_baseline(tmp_path: Path, content: str) -> None:
    """A file that is none is an error that says how to make one."""
    (tmp_path / "known.json").write_text(content)
    with pytest.raises(AuditError, match="--write-baseline"):
        read(tmp_path / "known.json")


def test_text(tmp_path: Path) -> None:
    """Where, which rule, the line, why, what instead, the pattern to declare, and who calls it."""
    said = "\n".join(lines(report_of(tmp_path)))
    for each in (
        "a.py:5:5: UNS001 pattern-delete",
        "why: ",
        "instead: ",
        'TAG_PATTERNS: "user:{pk}:*"',
        "called by a.py:9 in act",
        "2 found in 1 files",
    ):
        assert each in said


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class _Region(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    start_line: int
    end_line: int | None = None
    start_column: int | None = None
    snippet: _Text | None = None


class _Artifact(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    uri: str
    uri_base_id: str


class _Physical(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    artifact_location: _Artifact
    region: _Region


class _Location(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    physical_location: _Physical
    id: int | None = None
    message: _Text | None = None


class _Suppression(msgspec.Struct, forbid_unknown_fields=True):
    kind: Literal["inSource", "external"]
    justification: str


class _Result(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    rule_id: str
    rule_index: int
    level: Literal["none", "note", "warning", "error"]
    message: _Text
    locations: list[_Location]
    partial_fingerprints: dict[str, str]
    related_locations: list[_Location] = []
    suppressions: list[_Suppression] = []


class _Configuration(msgspec.Struct, forbid_unknown_fields=True):
    level: Literal["none", "note", "warning", "error"]


class _Descriptor(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    id: str
    name: str
    short_description: _Text
    help: _Text
    default_configuration: _Configuration


class _Driver(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    version: str
    rules: list[_Descriptor]


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    driver: _Driver


class _Notification(msgspec.Struct, forbid_unknown_fields=True):
    level: Literal["none", "note", "warning", "error"]
    message: _Text
    locations: list[_Location]


class _Invocation(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    execution_successful: bool
    tool_execution_notifications: list[_Notification]


class _Run(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    tool: _Tool
    column_kind: Literal["utf16CodeUnits", "unicodeCodePoints"]
    original_uri_base_ids: dict[str, Any]
    invocations: list[_Invocation]
    results: list[_Result]


class _Log(msgspec.Struct, forbid_unknown_fields=True):
    """SARIF 2.1.0, as far as we write it: names, types and required parts are those of its schema."""

    version: Literal["2.1.0"]
    runs: list[_Run]
    schema: str = msgspec.field(name="$schema")


def test_sarif(tmp_path: Path) -> None:
    """It has the standard's names and types; a suppressed and a known finding are results with a suppression."""
    code = CODE.replace("cache.clear()", "cache.clear()  # unstale: ignore[UNS003] once a night")
    (tmp_path / "broken.py").write_text("def f(:\n")
    report = report_of(tmp_path, code)
    read_back = msgspec.json.decode(sarif(report), type=_Log)
    [one] = read_back.runs
    assert [(each.rule_id, bool(each.suppressions)) for each in one.results] == [("UNS001", False), ("UNS003", True)]
    assert [one.tool.driver.rules[each.rule_index].id for each in one.results] == ["UNS001", "UNS003"]
    assert one.results[0].related_locations[0].physical_location.region.start_line == 9
    assert (
        one.invocations[0].tool_execution_notifications[0].locations[0].physical_location.artifact_location.uri
        == "broken.py"
    )
    again = log(audit(tmp_path))
    assert again["runs"][0]["results"] == log(report)["runs"][0]["results"]


def test_the_command(tmp_path: Path) -> None:
    """Exit status 1 where something was found, 0 where nothing was, 2 where it cannot be done; each output is whole."""
    (tmp_path / "a.py").write_text(CODE)
    said = run(tmp_path)
    assert said.returncode == 1
    assert "UNS001" in said.stdout
    assert len(json.loads(run(tmp_path, "--format", "json").stdout)["findings"]) == 2
    assert (
        json.loads(run(tmp_path, "--format", "sarif", "--select", "uns003").stdout)["runs"][0]["results"][0]["ruleId"]
        == "UNS003"
    )
    assert run(tmp_path, "--ignore", "UNS001", "--ignore", "UNS003").returncode == 0
    missing = run(tmp_path / "nowhere")
    assert (missing.returncode, "nowhere" in missing.stderr) == (2, True)
    assert run(tmp_path, "--write-baseline").returncode == 2


def test_the_command_in_an_empty_folder(tmp_path: Path) -> None:
    """It says that there is nothing to audit, and that is no error."""
    done = run(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("There is no Python code here.\n0 found in 0 files")


STOPPED = """\
import os, signal, sys
import unstale.tools.audit.auditing as auditing
from unstale.__main__ import main

read = auditing.read


def read_and_stop(file, path, settings):
    if path == "b.py":
        os.kill(os.getpid(), signal.SIGINT)
    return read(file, path, settings)


auditing.read = read_and_stop
sys.argv = ["unstale", "audit", *sys.argv[1:]]
main()
"""


def test_the_command_stopped(tmp_path: Path) -> None:
    """Ctrl-C ends it with status 130 and says that it is not all, without a traceback."""
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "b.py").write_text(CODE)
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (130, "")
    assert "Interrupted: this is not all." in done.stdout


def test_the_command_with_a_baseline(tmp_path: Path) -> None:
    """Written once, it lets a second run pass; something new fails it."""
    (tmp_path / "a.py").write_text(CODE)
    known = tmp_path / "known.json"
    assert run(tmp_path, "--baseline", known, "--write-baseline").returncode == 0
    assert run(tmp_path, "--baseline", known).returncode == 0
    (tmp_path / "a.py").write_text(CODE + "    cache.clear()\n")
    assert run(tmp_path, "--baseline", known).returncode == 1
    assert run(tmp_path, "--baseline", tmp_path / "none.json").returncode == 2


def test_the_list_of_rules() -> None:
    """It names every rule."""
    said = run("--list").stdout
    assert [rule for rule in RULES if rule not in said] == []


def test_nothing_is_imported_or_run(tmp_path: Path) -> None:
    """The audited code is read only."""
    (tmp_path / "a.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w').close()\nraise SystemExit(9)\n")
    assert run(tmp_path).returncode == 0
    assert not (tmp_path / "run").exists()
