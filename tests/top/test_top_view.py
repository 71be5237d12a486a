"""The screen: eighty columns, twenty-four lines, and what keys change."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from unstale.tools.doctor.costs import Beside, engine_of
from unstale.tools.doctor.results import Engine
from unstale.tools.engine import Command, Work
from unstale.tools.top.following import Frame
from unstale.tools.top.metrics import Counted, Untold
from unstale.tools.top.tags import Hot
from unstale.tools.top.view import KEYS, View, spark

BUSY = {
    "mget": (900_000, 3.0),
    "evalsha": (50_000, 1.0),
    "scan": (200_000, 4.0),
    "unlink": (123_456, 0.1),
    "set": (1000, 0.5),
    "info": (10, 0.001),
    "zremrangebyscore": (1, 0.0001),
}


def engine(percent: float = 95.0, **commands: tuple[int, float]) -> Engine:
    """An engine that did this in ten seconds."""
    told = {name: Command(*one) for name, one in (commands or BUSY).items()}
    work = Work(10.0, percent / 10, percent / 10, sum(one.calls for one in told.values()), told)
    return engine_of(work, beside=Beside(hit_rate=0.912))


def frame(name: str = "10.0.0.1:6379", **given: Any) -> Frame:
    """A busy server."""
    tags = [
        Hot(f"shop user:{number}/a/rather/long/name/for/a/tag/that/goes/on/and/on", 9 - number, 3)
        for number in range(9)
    ]
    usual: dict[str, Any] = {
        "about": "Valkey 9.1.2", "engine": engine(), "keys": 12_345_678, "memory_bytes": 2**35,
        "changes_per_second": 12.3, "watched": 200, "tags": tags,
    }  # fmt: skip
    return Frame(name, **(usual | given))


def screen(view: View, height: int = 24, width: int = 80) -> list[str]:
    """Its lines on a terminal, of eighty columns mostly."""
    console = Console(width=width, height=height, record=True, file=io.StringIO())
    console.print(view)
    return console.export_text().splitlines()


def viewed(*frames: Frame, has_metrics: bool = False) -> View:
    """A screen that shows these."""
    made = View("redis://cache.example:6379/0", has_metrics=has_metrics)
    made.show(frames)
    return made


def test_it_fits() -> None:
    """80 × 24, with the longest names and largest figures, and the keys at the bottom."""
    lines = screen(viewed(frame()))
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    assert lines[-1].startswith(KEYS)
    assert lines[0].startswith("redis://cache.example:6379/0  Valkey 9.1.2  12,345,678 keys")


@pytest.mark.parametrize("width", [59, 40])
def test_it_fits_a_narrow_terminal(width: int) -> None:
    """By fewer columns; heads and figures stay whole."""
    lines = screen(viewed(frame(), frame("10.0.0.2:6379")), height=60, width=width)
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    assert "calls/s" not in text
    assert "mean" not in text
    assert "deletes/s" not in text
    heads = next(line for line in lines if line.startswith("for"))
    assert heads.split() == ["for", "%", "core", "command", "%", "core"]
    assert any(line.startswith("hottest tags") for line in lines)
    assert next(line for line in lines if line.startswith("engine"))[-4:] == "90 %"


def test_without_keys_nothing_is_said_of_them() -> None:
    """There is no one to press them."""
    made = View("redis://h", has_metrics=False, has_keys=False)
    made.show([frame()])
    assert KEYS not in "\n".join(screen(made))


def test_many_servers_fit_by_leaving_tags_out() -> None:
    """The list of servers is there, and the keys."""
    lines = screen(viewed(*[frame(f"10.0.0.{number}:6379") for number in range(1, 7)]))
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 24
    assert lines[-1].startswith(KEYS)
    assert sum(line.startswith("10.0.0.") for line in lines) == 7  # the title names the one that is shown


def test_the_alarm_line() -> None:
    """Below it and above it, and never beyond the bar's end."""
    below, above, beyond = (screen(viewed(frame(engine=engine(one))))[1] for one in (50.0, 95.0, 140.0))
    assert below.count("█") == 20
    assert "│" in below
    assert above.count("█") == 38
    assert beyond.count("█") == 40
    assert all("alarm 90 %" in line for line in (below, above, beyond))


def test_what_is_said() -> None:
    """Hit rate, invalidations by their way, and where figures are not the server's."""
    text = "\n".join(screen(viewed(frame())))
    assert "hit rate 91.2 %" in text
    assert "DEL, UNLINK 12,346/s   KEYS, SCAN 20,000/s" in text
    assert "stamps that changed 12.3/s, of 200 watched" in text
    assert "not known to the server (see --metrics)" in text
    assert "From a sample of the keys" in text


def test_s_sorts_commands() -> None:
    """By CPU, by calls, by the mean, and around."""
    view = viewed(frame())
    firsts = []
    for _ in range(4):
        row = next(line for line in screen(view) if line.startswith("reads"))
        firsts.append(row.split()[3])
        view.press("s")
    assert firsts == ["SCAN", "MGET", "SET", "SCAN"]


def test_p_pauses() -> None:
    """What comes meanwhile is not shown; pressed again, it goes on."""
    view = viewed(frame(keys=1))
    view.press("p")
    view.show([frame(keys=2)])
    assert "PAUSED" in screen(view)[0]
    assert "1 keys" in screen(view)[0]
    view.press(" ")
    view.show([frame(keys=3)])
    assert "PAUSED" not in screen(view)[0]
    assert "3 keys" in screen(view)[0]


def test_n_goes_from_server_to_server() -> None:
    """And around."""
    view = viewed(frame("a:1"), frame("b:2"))
    shown = []
    for _ in range(3):
        shown.append(screen(view)[0].split()[0])
        view.press("n")
    assert shown == ["a:1", "b:2", "a:1"]


@pytest.mark.parametrize(("keys", "over"), [("q", True), ("xyQ", True), ("x\x1b[A1", False), ("", False)])
def test_q_ends_it(keys: str, over: bool) -> None:
    """Other keys do nothing."""
    view = viewed(frame())
    before = screen(view)
    view.press(keys)
    assert view.over is over
    assert screen(view) == before


def test_a_server_that_is_away() -> None:
    """Says why, alone or among others, which are shown on."""
    away = Frame("a:1", trouble="It cannot be reached, or has ended: no")
    assert "It cannot be reached, or has ended: no Trying again." in "\n".join(screen(viewed(away)))
    view = viewed(away, frame("b:2"))
    view.press("n")
    text = "\n".join(screen(view))
    assert "away" in text
    assert "MGET" in text


def test_before_anything_has_come() -> None:
    """It says that it waits."""
    assert screen(View("redis://h", has_metrics=False)) == ["Waiting for the first figures."]


def test_the_applications_own_figures() -> None:
    """Rates between two looks at its page; none after it was started anew, or where the page is away."""
    view = viewed(frame(), has_metrics=True)
    assert "does not tell" in "\n".join(screen(view))
    view.count(Counted(10, 1), 100.0)
    view.count(Counted(30, 2), 110.0)
    assert "stale reads 2.0/s   refused fills 0.1/s" in screen(view)[13]
    view.count(Counted(5, 0), 120.0)
    assert "does not tell" in screen(view)[13]
    view.count(Untold.NOTHING, 130.0)
    assert screen(view)[13].endswith("does not tell")
    view.count(Untold.UNREACHABLE, 140.0)
    assert screen(view)[13].endswith("cannot be reached")


def test_the_history_has_each_window_once() -> None:
    """Drawn, the newest at the right."""
    view = View("redis://h", has_metrics=False)
    for percent in (0.0, 50.0, 100.0):
        one = frame(engine=engine(percent))
        view.show([one])
        view.show([one])
    assert screen(view)[2].split() == ["before", "▄█"]
    assert spark([0.0, 13.0, 100.0, 250.0, -1.0]) == " ▁██ "
