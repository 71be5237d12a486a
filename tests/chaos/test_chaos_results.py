"""What must not be, in words; the tables; and the file of a run."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from unstale.errors import ConfigurationError
from unstale.tools.chaos.course import Tick
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.judge import Counts
from unstale.tools.chaos.live import View
from unstale.tools.chaos.phases import PHASES, phases_of
from unstale.tools.chaos.plan import Phase, Plan
from unstale.tools.chaos.results import ZERO, Outcome, Results, problems_of, read, write
from unstale.tools.chaos.run import Grounds, run, turns
from unstale.tools.chaos.table import HEADS, markdown, notes, table

PHASE = Phase(name="evicted", says="", faults=("evict-stamps",), least_hit_rate=0.8)
PLAN = Plan(phases=("evicted",))


def good(**counts: object) -> Outcome:
    """An outcome that has passed, but for what is said."""
    passed = {"reads": 1000, "hits": 900, "loads": 100, "calm_hits": 80, "calm_loads": 20, "writes": 7}
    found = Counts(**{**passed, "strikes": {"evict-stamps": 3}, **counts})
    return Outcome(phase="evicted", says="", seed=1, subject="unstale", status="complete", counts=found)


def shown(renderable: object) -> list[str]:
    """The lines of what a terminal of eighty columns shows."""
    console = Console(width=80, file=io.StringIO(), record=True)
    console.print(renderable)
    return console.export_text().splitlines()


def test_a_phase_that_has_passed_has_no_problems() -> None:
    """Exactly at the least hit rate, too."""
    assert problems_of(good(), PHASE) == []


@pytest.mark.parametrize("name", ZERO)
def test_each_count_that_must_be_zero_is_a_problem(name: str) -> None:
    """By its name, with its number."""
    assert problems_of(good(**{name: 3}), PHASE) == [f"3 {name}"]


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({"hits": 60, "loads": 39}, "only 99 reads"),
        ({"writes": 0}, "no writes"),
        ({"strikes": {}}, "no fault"),
        ({"calm_loads": 21}, "hit rate 0.792"),
        ({"calm_hits": 0, "calm_loads": 0}, "hit rate unknown"),
    ],
)
def test_a_phase_that_has_shown_nothing_has_not_passed(counts: dict[str, object], words: str) -> None:
    """A cache that never hits, a load that never came, a fault that was never struck."""
    problems = problems_of(good(**counts), PHASE)
    assert len(problems) == 1
    assert problems[0].startswith(words)


def test_a_phase_that_was_stopped_is_not_asked_what_it_has_shown() -> None:
    """Only what it has found."""
    outcome = good(hits=1, loads=0, stale=2, strikes={})
    outcome.status = "interrupted"
    assert problems_of(outcome, PHASE) == ["2 stale"]


def test_only_strict_writes_promise_what_is_visible() -> None:
    """To all others it is no problem."""
    outcome = good(older_than_visible=2)
    assert problems_of(outcome, PHASE) == []
    assert problems_of(outcome, Phase(name="strict", says="", work=("strict",))) == ["2 older than visible"]


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """All of it."""
    outcome = good(examples={"stale": ["x"]}, effects={"EFFECTIVE": 7})
    results = Results(plan=PLAN, outcomes=[outcome], versions={"python": "3"})
    write(results, tmp_path / "results.json")
    assert read(tmp_path / "results.json") == results


def test_another_file_is_refused(tmp_path: Path) -> None:
    """In a sentence."""
    (tmp_path / "results.json").write_text('{"format": 1}')
    with pytest.raises(ConfigurationError, match="no result of unstale chaos"):
        read(tmp_path / "results.json")


def several() -> Results:
    """A phase with two seeds and a peer, one that failed, and one with the longest name."""
    peer = good(stale=21, lost=3)
    peer.is_peer, peer.subject, peer.problems = True, "time-stamps", ["21 stale"]
    bad = good(stale=2, examples={"stale": ["key 1, version 2"]}, reads=5_100_000, writes=110_000)
    bad.phase, bad.problems = "restarted-from-snapshot", ["2 stale"]
    failed = Outcome(phase="oom", says="", seed=1, subject="unstale", status="failed", reason="[no] reason")
    return Results(plan=PLAN, outcomes=[good(), good(), failed, bad, peer])


def test_the_table_fits_a_terminal() -> None:
    """Nothing is cut off or wrapped; peers stand below their phase; what failed says so."""
    lines = shown(table(several()))
    assert max(len(line.rstrip()) for line in lines) <= 80
    assert "…" not in "".join(lines)
    rows = [line.split() for line in lines]
    assert ["evicted", "2,000", "14", "6", "80.0", "0", "0", "0", "0", "0"] in rows
    assert ["time-stamps", "1,000", "7", "3", "80.0", "21", "3", "0", "0", "0"] in rows
    assert ["restarted-from-snapshot", "5,100", "k", "110", "k", "3", "80.0", "2", "0", "0", "0", "0"] in rows
    assert ["oom", "failed", *["–"] * 8] in rows
    assert [line.split()[0] for line in lines if "evicted" in line or "time-stamps" in line] == [
        "evicted",
        "time-stamps",
    ]


def test_the_sum_is_unstales() -> None:
    """Peers are not in it, and neither is what failed."""
    assert shown(table(several()))[-1].split()[:5] == ["in", "all,", "unstale", "5,102", "k"]


def test_markdown_has_the_same_in_full() -> None:
    """For a document."""
    text = markdown(several()).splitlines()
    assert text[0] == f"| {' | '.join(HEADS)} |"
    assert "| `evicted` | 2,000 | 14 | 6 | 80.0 % | 0 | 0 | 0 | 0 | 0 |" in text
    assert "| *time-stamps* | 1,000 | 7 | 3 | 80.0 % | 21 | 3 | 0 | 0 | 0 |" in text
    assert "| `oom` | failed | – | – | – | – | – | – | – | – |" in text
    assert text[-1].startswith("| **in all, unstale** | 5,102,000 | 110,014 | 9 |")


def test_notes_say_what_failed_and_what_must_not_be() -> None:
    """With the first examples; of peers nothing."""
    assert notes(several()) == [
        "oom, unstale, seed 1: failed: [no] reason",
        "restarted-from-snapshot, unstale, seed 1: 2 stale",
        "    stale: key 1, version 2",
    ]


def test_the_view_shows_where_it_is() -> None:
    """What runs, how far it is, what was struck last, and what has ended; brackets are no markup."""
    view = View(PLAN, 4)
    view.begins(good())
    view.ended(good())
    view.begins(Outcome(phase="flushed", says="Somebody.", seed=2, subject="unstale"))
    view.goes_on("load", Tick(5.0, 1234, 56, 7, "a [bold]fault"))
    text = "\n".join(shown(view))
    for words in ("2 of 4", "flushed", "unstale, seed 2", "Somebody.", "under load", "1,234", "56", "a [bold]fault"):
        assert words in text
    assert "evicted" in text


def test_a_phase_that_is_not_there_is_told() -> None:
    """With those that are."""
    with pytest.raises(ChaosError, match=r"There is no phase nowhere\. There are: calm, "):
        phases_of(["calm", "nowhere"])


def test_phases_are_named_once() -> None:
    """However often they were asked for."""
    assert phases_of(["flushed", "calm", "flushed"]) == ("flushed", "calm")


BOTH = Grounds(("a", "b"), ("sqlite", "postgres://x/y"))


def test_with_each_seed_a_phase_is_on_another_ground() -> None:
    """Four seeds see all pairs of two servers and two databases."""
    plan = Plan(phases=("calm",), seeds=(1, 2, 3, 4))
    found = {(turn.plan.server, turn.plan.database) for turn in turns(plan, PHASES, BOTH)}
    assert len(found) == 4


def test_a_phase_that_needs_a_database_gets_it() -> None:
    """Where one of that kind was named."""
    plan = Plan(phases=("old-snapshots",))
    assert {turn.plan.database for turn in turns(plan, PHASES, BOTH)} == {"postgres://x/y"}


def test_peers_come_after_a_phase_with_its_first_seed() -> None:
    """On the same ground; and only where they can be run."""
    plan = Plan(phases=("calm", "asyncio"), seeds=(5, 6))
    found = [(turn.phase.name, turn.seed, turn.peer) for turn in turns(plan, PHASES, BOTH, ("deletes",))]
    assert found == [
        ("calm", 5, None),
        ("calm", 6, None),
        ("calm", 5, "deletes"),
        ("asyncio", 5, None),
        ("asyncio", 6, None),
    ]
    first, _, peer, *_ = turns(plan, PHASES, BOTH, ("deletes",))
    assert peer.plan == first.plan


def test_results_are_not_overwritten(tmp_path: Path) -> None:
    """A run is hours of work."""
    (tmp_path / "results.json").touch()
    with pytest.raises(ChaosError, match="there already"):
        run(PLAN, [], tmp_path, View(PLAN, 0))


def test_no_password_is_stored(tmp_path: Path) -> None:
    """Neither the server's nor the database's."""
    plan = Plan(phases=(), server="redis://me:secret@h:1/0", database="postgres://me:secret@h/x")
    run(plan, [], tmp_path, View(plan, 0))
    assert "secret" not in (tmp_path / "results.json").read_text()
    assert read(tmp_path / "results.json").plan.server == "redis://h:1/0"
