"""`unstale verify`: logs to tables and sentences."""

from __future__ import annotations

import json
import re
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from unstale.core.verified import Counts, LostKey, settled_after
from unstale.errors import ConfigurationError
from unstale.tools.cli.application import application
from unstale.tools.verify.summary import summary_of
from unstale.tools.verify.wording import cautions, percent, quotable
from unstale.verifiers import FORMAT, Line

BEGIN = 1_790_000_000.0
LOST = LostKey("orders:42", ("user:42", "user:42/orders"), 61.2, stood=True, at=BEGIN + 5)


def line(
    kinds: dict[str, Counts],
    *,
    at: float = BEGIN,
    namespace: str = "shop",
    lost: tuple[LostKey, ...] = (),
    rate: float = 0.001,
    version: int = FORMAT,
) -> bytes:
    """A line of a log."""
    made = Line(
        format=version, at=at, seconds=60.0, namespace=namespace, rate=rate, limit=60.0, kinds=kinds, lost=list(lost)
    )
    return msgspec.json.encode(made) + b"\n"


def run(*words: str) -> tuple[int, str]:
    """Exit status, and what was said, in one line."""
    ended = CliRunner().invoke(application, ["verify", *words], env={"COLUMNS": "80"})
    return ended.exit_code, " ".join(ended.output.split())


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """The log of a sound application."""
    path = tmp_path / "sound.jsonl"
    path.write_bytes(
        line({"orders:*": Counts(same=9_990)})
        + line({"orders:*": settled_after(0.02), "users:*": Counts(same=9)}, at=BEGIN + 3600)
    )
    return path


@pytest.fixture
def lossy(tmp_path: Path) -> Path:
    """The log of one that forgets an invalidation."""
    path = tmp_path / "lossy.jsonl"
    kinds = {
        "orders:*": Counts(same=90, lost=3, unsettled=1),
        "clock": Counts(unrepeatable=7),
        "slow": Counts(skipped=4, failed=2),
    }
    path.write_bytes(line(kinds, lost=(LOST, LOST)))
    return path


def test_logs_add_up(sound: Path, lossy: Path) -> None:
    """Whichever process wrote which line."""
    [found] = summary_of([sound, lossy]).found
    verification = found.verification
    assert verification.kinds["orders:*"] == Counts(same=10_080, lost=3, unsettled=1) + settled_after(0.02)
    assert set(verification.kinds) == {"orders:*", "users:*", "clock", "slow"}
    assert (found.began_at, found.ended_at) == (BEGIN - 60, BEGIN + 3600)
    assert verification.lost == (LOST,)


def test_a_log_that_is_named_twice_counts_once(sound: Path) -> None:
    """Also by another name."""
    again = sound.parent / "." / sound.name
    assert summary_of([sound, again]) == summary_of([sound])


def test_namespaces_are_apart(tmp_path: Path) -> None:
    """Each has its own share."""
    path = tmp_path / "two.jsonl"
    path.write_bytes(line({"a": Counts(same=1)}) + line({"a": Counts(lost=1)}, namespace="blog"))
    assert [(one.namespace, one.verification.total.judged) for one in summary_of([path]).found] == [
        ("blog", 1),
        ("shop", 1),
    ]


DAMAGED = {
    "torn": line({"a": Counts(same=1)})[:40] + b"\n",
    "not json": b"hello\n",
    "not utf-8": b"\xff\xfe\n",
    "of another format": line({"a": Counts(same=1)}, version=FORMAT + 1),
    "of other bounds": line({"a": Counts(same=1, settled=(1, 2))}),
    "below zero": line({"a": Counts(same=-1)}),
    "more than anybody counts": line({"a": Counts(same=10**9 + 1)}),
    "more than a machine counts": line({"a": Counts(settled=(0,) * 9 + (10**30,))}),
    "of no year": line({"a": Counts(same=1)}, at=1e300),
    "of a year that no date has": line({"a": Counts(same=1)}, at=253_402_300_800.0),
    "before 1970": line({"a": Counts(same=1)}, at=-1e18),
    "longer than all time": line({"a": Counts(same=1)}, at=59.0),
    "lost in no year": line({"a": Counts(lost=1)}, lost=(LostKey("a", (), 60.0, stood=True, at=1e18),)),
    "lost for ever": line({"a": Counts(lost=1)}, lost=(LostKey("a", (), 1e300, stood=True, at=BEGIN),)),
    "another shape": b'{"format":1}\n',
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_damaged_lines_are_left_out_and_told(sound: Path, damage: str) -> None:
    """The rest counts."""
    whole = summary_of([sound])
    sound.write_bytes(DAMAGED[damage] + sound.read_bytes() + b"\n" + DAMAGED[damage].rstrip())
    summary = summary_of([sound])
    assert (summary.found, summary.lines, summary.damaged) == (whole.found, 2, 2)
    status, said = run(str(sound))
    assert status == 0
    assert "2 of 4 lines could not be read" in said


@pytest.mark.parametrize("content", [b"", b"hello\n"], ids=["empty", "nothing of ours"])
def test_logs_with_nothing_in_them(tmp_path: Path, content: bytes) -> None:
    """Are no success."""
    path = tmp_path / "verify.jsonl"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError):
        summary_of([path])
    assert run(str(path))[0] == 2


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    """A sentence, and status 2."""
    status, said = run(str(tmp_path / "none.jsonl"))
    assert status == 2
    assert "cannot be read" in said


def test_a_sound_application(sound: Path) -> None:
    """The table, the shares, the sentence; status 0."""
    status, said = run(str(sound), "--within", "0.1")
    assert status == 0
    assert "within 30 ms 10,000 of 10,000 100 % 99.97 %" in said
    assert (
        "At least 99.97 % of the reads that `shop` served from the cache from 2026-09-21 14:12 to 2026-09-21 15:13 UTC "
        "were consistent with their loader within 100 ms (95 % confidence; 10,000 of 10,000 sampled reads)." in said
    )
    assert "Lost" not in said


def test_something_lost(lossy: Path) -> None:
    """Key, tags and how; what was not judged; what is never the same; status 1."""
    status, said = run(str(lossy))
    assert status == 1
    assert (
        "orders:42: differed for 61.2 s, seen 2026-09-21 14:13:25 UTC; user:42, user:42/orders; nobody invalidated"
        in said
    )
    assert said.count("orders:42: differed") == 1
    assert "13 sampled reads (4 skipped for the budget or an open transaction, 2 whose loader raised, 7 whose" in said
    assert "`clock` was never the same (7 reads)" in said
    assert "clock (never the same)" in said
    assert "1 differed and were read no more" in said


def test_for_programs(lossy: Path) -> None:
    """The same, as JSON."""
    ended = CliRunner().invoke(application, ["verify", "--json", "--within", "0", str(lossy)])
    assert ended.exit_code == 1
    [found] = json.loads(ended.output)["found"]
    assert (found["namespace"], found["verification"]["lost"][0]["key"]) == ("shop", "orders:42")
    assert [one["within"] for one in found["shares"]][:2] == [0.0, 0.01]
    assert {one["good"] for one in found["shares"]} == {90}
    assert "were what their loader gave" in found["quotable"]["text"]
    assert len(found["quotable"]["cautions"]) >= 3


def test_rates_that_differ_are_a_caution(tmp_path: Path) -> None:
    """Their samples are not one sample."""
    path = tmp_path / "rates.jsonl"
    path.write_bytes(line({"a": Counts(same=1)}) + line({"a": Counts(same=1)}, rate=0.01))
    [found] = summary_of([path]).found
    assert any("The rates were 0.001, 0.01" in caution for caution in cautions(found))


def test_nothing_judged_is_nothing_to_quote(tmp_path: Path) -> None:
    """Though something was sampled."""
    path = tmp_path / "skipped.jsonl"
    path.write_bytes(line({"a": Counts(skipped=5)}))
    [found] = summary_of([path]).found
    assert quotable(found, 1.0, 0.95) == "Nothing was judged, so nothing may be quoted."
    assert run(str(path))[0] == 0


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (1.0, "100 %"),
        (0.0, "0.00 %"),
        (0.5, "50.00 %"),
        (0.99999, "99.9990 %"),
        (0.9999999, "99.999990 %"),
        (0.99989999, "99.98 %"),
        (0.999, "99.90 %"),
        (0.29, "29.00 %"),
    ],
)
def test_shares_are_rounded_down(share: float, said: str) -> None:
    """Nobody quotes a nine that is not there."""
    assert percent(share) == said
    assert float(re.sub(r"[ %]", "", said)) / 100 <= share + 1e-12


def test_a_kind_with_brackets_is_shown_as_it_is(tmp_path: Path) -> None:
    """Keys are data: nothing in them is markup."""
    path = tmp_path / "markup.jsonl"
    lost = LostKey("[red]x[/red]", ("[bold]t",), 60.0, stood=False, at=BEGIN)
    path.write_bytes(line({"[red]*": Counts(lost=1)}, lost=(lost,)))
    said = run(str(path))[1]
    assert "[red]*" in said
    assert "[red]x[/red]: differed" in said
    assert "stored anew meanwhile" in said


def test_names_of_a_log_do_nothing_to_a_terminal(tmp_path: Path) -> None:
    """Whatever cannot be shown is escaped: nothing moves the cursor, ends a line, or turns a text around."""
    evil = "a\x1b[2Jb\nc\u202e"
    path = tmp_path / "evil.jsonl"
    lost = LostKey(evil, (evil,), 60.0, stood=True, at=BEGIN)
    path.write_bytes(line({evil: Counts(lost=5)}, namespace=evil, lost=(lost,)))
    output = CliRunner().invoke(application, ["verify", str(path)], env={"COLUMNS": "200"}).output
    assert [char for char in output if not (char.isprintable() or char == "\n")] == []
    assert output.count("a\\x1b[2Jb\\x0ac\\u202e") == 6  # namespace, kind, key, tag, two sentences
