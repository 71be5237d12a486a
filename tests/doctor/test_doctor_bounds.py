"""However a server behaves, an examination ends: time limits of whole answers, not of single reads."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import msgspec
import pytest
import redis
from babblers import Answer, always, babbler, mute, trickle
from reports import ids, only
from servers import Server

from unstale.tools.doctor import course, facts
from unstale.tools.doctor.course import Plan, examine
from unstale.tools.doctor.errors import DoctorError
from unstale.tools.doctor.results import STOPPED, Facts, Report
from unstale.tools.places import Manner, NobodyTellsError, Origin, connect, hung_up_at

PATIENT = Manner(None, 1.0, 60.0)
"""No answer is late for these connections."""
BABBLE = {"a long string": trickle(b"$100000\r\n"), "an endless line": trickle(b"+"), "nothing": mute}


@pytest.mark.parametrize("answer", BABBLE.values(), ids=BABBLE)
def test_whoever_takes_too_long_is_hung_up_on(answer: Answer) -> None:
    """Also who sends a byte now and then; and again, if asked again."""
    with babbler(answer) as port:
        (place,) = Origin(f"redis://127.0.0.1:{port}/0", PATIENT).places()
        with connect(place, PATIENT) as client, hung_up_at(client, time.monotonic() + 0.3) as late:
            for _ in range(2):
                with pytest.raises(redis.ConnectionError):
                    client.ping()
            assert late.is_set()


def test_who_is_to_stop_hangs_up_soon() -> None:
    """Whatever time there would be."""
    stop = threading.Event()
    stop.set()
    with babbler(mute) as port:
        (place,) = Origin(f"redis://127.0.0.1:{port}/0", PATIENT).places()
        with connect(place, PATIENT) as client, hung_up_at(client, math.inf, stop), pytest.raises(redis.RedisError):
            client.ping()


def test_nobody_is_hung_up_on_before_time() -> None:
    """An answer that comes late is waited for."""
    with babbler(always(b"+OK\r\n", after=0.3)) as port:
        (place,) = Origin(f"redis://127.0.0.1:{port}/0", PATIENT).places()
        with connect(place, PATIENT) as client, hung_up_at(client, math.inf, threading.Event()) as late:
            assert client.execute_command("GET", "a") == b"OK"
        assert not late.is_set()


@pytest.mark.parametrize("answer", BABBLE.values(), ids=BABBLE)
@pytest.mark.parametrize("url", ["redis+sentinel://127.0.0.1:{}/shop", "redis+cluster://127.0.0.1:{}"])
def test_who_is_asked_for_the_others_may_babble(answer: Answer, url: str) -> None:
    """Then nobody tells, which is said."""
    with babbler(answer) as port, pytest.raises(NobodyTellsError, match=r"did not answer in time|Timeout"):
        Origin(url.format(port), Manner(None, 0.5, 0.5)).places()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers are not waited for."""
    monkeypatch.setattr(course, "ANSWER_SECONDS", 0.5)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("answer", BABBLE.values(), ids=BABBLE)
def test_a_babbler_did_not_answer_in_time(answer: Answer) -> None:
    """Whatever it says."""
    with babbler(answer) as port, pytest.raises(DoctorError, match="did not answer in time"):
        examine(f"redis://127.0.0.1:{port}/0", Plan(seconds=0.1))


@pytest.mark.parametrize("answer", BABBLE.values(), ids=BABBLE)
def test_a_babbler_is_stopped(answer: Answer) -> None:
    """Nothing else is said of it: nobody knows."""
    stop = threading.Event()
    threading.Timer(0.3, stop.set).start()
    with babbler(answer) as port:
        node = only(examine(f"redis://127.0.0.1:{port}/0", Plan(seconds=600), stop=stop))
    assert (node.status, node.why) == ("interrupted", STOPPED)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("answer", BABBLE.values(), ids=BABBLE)
def test_the_command_is_stopped(answer: Answer, number: int) -> None:
    """With exit status 130, and no traceback."""
    asked = threading.Event()

    def told(connection: object, over: threading.Event) -> None:
        asked.set()
        answer(connection, over)  # type: ignore[arg-type]

    with babbler(told) as port:
        words = [sys.executable, "-m", "unstale", "doctor", "--seconds", "600", "--json", f"redis://127.0.0.1:{port}/0"]
        child = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert asked.wait(60)
        os.kill(child.pid, number)
        out, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert msgspec.json.decode(out, type=Report).nodes[0].why == STOPPED
    assert "Traceback" not in err


PLAN = Plan(seconds=2, share=0.05)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("end", [Server.kill, Server.freeze], ids=["killed", "frozen"])
def test_a_server_that_ends_meanwhile_is_serious(own_server: Server, end: Callable[[Server], None]) -> None:
    """Before anything of its engine was seen."""
    timer = threading.Timer(0.7, end, [own_server])
    timer.start()
    report = examine(own_server.url, PLAN)
    timer.join()
    assert only(report).status == "interrupted"
    assert "interrupted" in ids(report, "serious")


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("end", [Server.kill, Server.freeze], ids=["killed", "frozen"])
def test_a_server_that_ends_after_its_engine_was_seen(
    own_server: Server, end: Callable[[Server], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is a warning: the cause of an alarm is in what there is."""
    write_down = course._write_down

    def then_end(*given: object) -> None:
        write_down(*given)  # type: ignore[arg-type]
        end(own_server)

    monkeypatch.setattr(course, "_write_down", then_end)
    report = examine(own_server.url, PLAN)
    assert only(report).engine is not None
    assert "interrupted" in ids(report, "warning")


def test_a_stop_is_no_finding(server: Server) -> None:
    """It was wanted."""
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    report = examine(server.url, Plan(seconds=600), stop=stop)
    assert only(report).why == STOPPED
    assert "interrupted" not in ids(report)


NO_SERVER = {
    "OK": always(b"+OK\r\n"),
    "nil": always(b"$-1\r\n"),
    "nothing": always(b"*-1\r\n"),
    "one": always(b":1\r\n"),
    "a list": always(b"*2\r\n:1\r\n$-1\r\n"),
    "PONG": always(b"+PONG\r\n"),
    "a web page": always(b"HTTP/1.1 200 OK\r\n\r\n"),
}


@pytest.mark.parametrize("answer", NO_SERVER.values(), ids=NO_SERVER)
def test_nonsense_is_no_server(answer: Answer) -> None:
    """In a sentence."""
    with babbler(answer) as port, pytest.raises(DoctorError, match="What answers there is no Redis and no Valkey"):
        examine(f"redis://127.0.0.1:{port}/0", Plan(seconds=1))


def test_an_error_of_the_doctor_s_own(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, with where it was and without what it was about; what there is is reported."""

    def fail(*_: object) -> None:
        raise TypeError("anna's secret")

    monkeypatch.setattr(course, "costs_of", fail)
    report = examine(server.url, Plan(seconds=1))
    node = only(report)
    assert node.status == "interrupted"
    assert node.why.startswith("An error of the doctor's own: TypeError in line ")
    assert node.engine is not None
    assert "doctor-failed" in ids(report, "warning")
    assert "interrupted" not in ids(report)
    assert b"anna" not in msgspec.json.encode(report)


def test_the_others_are_reported(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever happens at one of several servers."""
    place = Origin(server.url, PATIENT).places()[0]
    monkeypatch.setattr(course, "_places", lambda *_: [place, place])
    failed: list[object] = []
    look = facts.facts_of

    def fail_once(*given: object) -> object:
        if not failed:
            failed.append(given)
            raise ZeroDivisionError
        return look(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(course, "facts_of", fail_once)
    report = examine(server.url, Plan(seconds=1))
    assert sorted(node.status for node in report.nodes) == ["complete", "interrupted"]
    assert "doctor-failed" in ids(report, "warning")


def test_figures_that_are_none(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a server says of itself may be of any type; the report is there all the same."""
    monkeypatch.setattr(course, "facts_of", lambda _: Facts(memory_bytes="much"))  # type: ignore[arg-type]
    report = examine(server.url, Plan(seconds=1))
    assert only(report).facts == Facts()
    assert "doctor-failed" in ids(report, "warning")


def test_nothing_that_a_server_says_is_obeyed_by_a_terminal(server: Server) -> None:
    """A user's name with an escape in it, a client's, a command's."""
    with server.client as admin:
        admin.execute_command("ACL", "SETUSER", "a\x1b[2J", "reset", "on", ">word", "~*", "+@all")
    try:
        report = examine(server.url.replace("redis://", "redis://a%1B%5B2J:word@"), Plan(seconds=1))
    finally:
        with server.client as admin:
            admin.execute_command("ACL", "DELUSER", "a\x1b[2J")
    assert only(report).facts.user == "a\\x1b[2J"
    assert any("a\\x1b[2J" in one.evidence for one in report.findings if one.id == "dangerous-commands")
    assert "\x1b" not in str(msgspec.to_builtins(report)).replace("\\\\x1b", "")
    assert all("\x1b" not in one.evidence for one in report.findings)
