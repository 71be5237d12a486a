"""Servers that refuse, hide, or are none: what cannot be seen is said, and the rest still reported."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from reports import ids, only
from servers import Server

from unstale.errors import ConfigurationError
from unstale.tools.doctor.course import Plan, examine
from unstale.tools.doctor.errors import DoctorError


@pytest.fixture
def limited(server: Server) -> Iterator[Callable[..., str]]:
    """Gives a URL with a user who may do all but some commands."""

    def url_without(*commands: str) -> str:
        with server.client as admin:
            admin.set("a", 1)
            denied = [f"-{command}" for command in commands]
            admin.execute_command("ACL", "SETUSER", "some", "reset", "on", ">a secret", "~*", "+@all", *denied)
        return server.url.replace("redis://", "redis://some:a%20secret@")

    yield url_without
    with server.client as admin:
        admin.execute_command("ACL", "DELUSER", "some")


@pytest.mark.parametrize(
    ("denied", "missing"),
    [
        ("info", "engine"),
        ("scan", ""),
        ("config", ""),
        ("slowlog", ""),
        ("acl", ""),
        ("client", ""),
        ("latency", ""),
        ("memory", ""),
        ("pttl", ""),
        ("ping", ""),
        ("monitor", "monitored"),
    ],
)
def test_what_is_refused_is_said(limited: Callable[..., str], denied: str, missing: str) -> None:
    """One command is forbidden, and all the rest still reported."""
    report = examine(limited(denied), Plan(seconds=0.6, share=0.05, monitor_seconds=0.1))
    node = only(report)
    assert node.status == "complete"
    assert denied == "ping" or any(one.what.lower().startswith(denied) for one in node.refusals)
    assert "secret" not in msgspec.json.encode(report).decode()
    found = {"engine": node.engine, "keyspace": node.keyspace, "monitored": node.monitored}
    assert {name for name, value in found.items() if value is None} == ({missing} if missing else set())


def test_scan_and_randomkey_refused(limited: Callable[..., str]) -> None:
    """No keyspace then, and the rest."""
    node = only(examine(limited("scan", "randomkey"), Plan(seconds=1)))
    assert node.keyspace is None
    assert {one.what for one in node.refusals} >= {"SCAN", "RANDOMKEY"}
    assert node.engine is not None


def test_ttls_that_are_refused_are_not_missing(limited: Callable[..., str], server: Server) -> None:
    """No key is said to live for ever because nobody may ask."""
    with server.client as client:
        for number in range(50):
            client.set(f"key:{number}", 1, ex=100)
    report = examine(limited("pttl"), Plan(seconds=1, share=0.5))
    keyspace = only(report).keyspace
    assert keyspace is not None
    assert keyspace.sampled >= 50
    assert {one.without_ttl for one in keyspace.shapes} == {None}
    assert "no-ttl" not in ids(report)


def test_info_refused_is_a_finding(limited: Callable[..., str]) -> None:
    """Unstale itself needs it."""
    assert "info-hidden" in ids(examine(limited("info"), Plan(seconds=1)), "warning")


def test_select_refused(limited: Callable[..., str]) -> None:
    """What is the whole server's is seen; the URL's database is not, and no other stands for it."""
    report = examine(limited("select").replace("/0", "/2"), Plan(seconds=1))
    node = only(report)
    assert (node.status, [one.what for one in node.refusals]) == ("complete", ["SELECT"])
    assert node.engine is not None
    assert node.keyspace is None
    assert "info-hidden" not in ids(report, "warning")


def test_a_users_rights(limited: Callable[..., str]) -> None:
    """Which dangerous commands this user may run is asked, not tried."""
    node = only(examine(limited("flushall", "shutdown"), Plan(seconds=1)))
    assert node.facts.user == "some"
    assert set(node.facts.dangerous) == {"FLUSHDB", "KEYS", "CONFIG SET", "DEBUG"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://127.0.0.1:1/0", "cannot be reached"),
        ("redis://a:secret@127.0.0.1:1/0", "cannot be reached"),
        ("unix:///no/such/socket", "cannot be reached"),
        ("redis+cluster://127.0.0.1:1", "No node of the cluster answers"),
        ("redis+sentinel://127.0.0.1:1/shop", "No sentinel names a primary of shop"),
    ],
)
def test_nobody_there(url: str, said: str) -> None:
    """A sentence, without the password."""
    with pytest.raises(DoctorError, match=said) as failed:
        examine(url, Plan(seconds=1))
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize(
    "url", ["localhost", "http://127.0.0.1", "memory://", "redis://a:b/c@h", "redis://h:x", "embedded://"]
)
def test_no_url(url: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigurationError):
        examine(url, Plan(seconds=1))


def test_a_wrong_password(server: Server) -> None:
    """Is said so, and not shown."""
    with pytest.raises(DoctorError, match="another user or password") as failed:
        examine(server.url.replace("redis://", "redis://nobody:wrong%20word@"), Plan(seconds=1))
    assert "wrong word" not in str(failed.value)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"\x00\x01"])
def test_no_redis(answer: bytes) -> None:
    """Something else answers there, or hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(8):
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        with pytest.raises(DoctorError):
            examine(f"redis://127.0.0.1:{listening.getsockname()[1]}/0", Plan(seconds=1))


def test_the_documented_rights_suffice(server: Server) -> None:
    """Those of docs/doctor.md: nothing is refused."""
    text = (Path(__file__).parent.parent.parent / "docs" / "doctor.md").read_text(encoding="utf-8")
    rights = [word.strip("()") for line in text.splitlines() if line.startswith("    +") for word in line.split()]
    rights = [word for word in rights if word.startswith("+")]
    assert len(rights) > 10
    with server.client as admin:
        admin.set("a:e:b", 1)
        admin.execute_command("ACL", "SETUSER", "some", "reset", "on", ">word", "~*", *rights)
    try:
        url = server.url.replace("redis://", "redis://some:word@")
        node = only(examine(url, Plan(seconds=1, monitor_seconds=0.1)))
        assert node.refusals == []
        assert node.engine is not None
        assert node.keyspace is not None
        assert node.monitored is not None
    finally:
        with server.client as admin:
            admin.execute_command("ACL", "DELUSER", "some")
