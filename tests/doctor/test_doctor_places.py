"""All servers behind a URL: a cluster with a dead node, a service under sentinels, TLS, sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from clusters import Cluster
from sentinels import PASSWORD, SERVICE, Deployment, Sentinel, until
from servers import Server, require
from test_tls_acl import SecureServer, authority  # noqa: F401 - a fixture

from unstale import Cache
from unstale.tools.doctor.course import Plan, examine
from unstale.tools.doctor.errors import DoctorError
from unstale.tools.doctor.gate import Gate
from unstale.tools.places import NobodyTellsError, Origin, target_of

QUICK = Plan(seconds=2, share=0.1)


def test_every_node_of_a_cluster(cluster: Cluster) -> None:
    """Primaries and replicas, each with its own figures; entries of unstale's are found on all primaries."""
    with Cache.from_url(cluster.url, namespace="test", timeout=10) as cache:
        for number in range(200):
            cache.set(f"k{number}", 1, tags=[f"user:{number}", f"product:{number % 7}"])
    report = examine(cluster.url, QUICK)
    assert len(report.nodes) == len(cluster.nodes)
    assert {node.status for node in report.nodes} == {"complete"}
    assert sorted(node.facts.role for node in report.nodes) == ["master"] * 3 + ["slave"] * 3
    assert "no-ttl" not in {one.id for one in report.findings}
    replicas = [node for node in report.nodes if node.facts.role == "slave"]
    assert all(node.keyspace is not None and node.keyspace.sampled > 100 for node in replicas)
    primaries = [node for node in report.nodes if node.facts.role == "master"]
    assert all(node.keyspace is not None and node.keyspace.sampled > 100 for node in primaries)
    for node in primaries:
        assert node.keyspace is not None
        assert node.keyspace.stamps is not None
        assert node.keyspace.stamps.entries > 0
        assert node.keyspace.stamps.missing == 0


def test_one_node_alone(cluster: Cluster) -> None:
    """By its own URL: its keys are sampled as a node's are, stamps elsewhere are not missed, and it is said."""
    with Cache.from_url(cluster.url, namespace="test", timeout=10) as cache:
        for number in range(200):
            cache.set(f"k{number}", 1, tags=[f"user:{number}", f"product:{number % 7}"])
    report = examine(f"redis://127.0.0.1:{cluster.primaries[0].port}/0", QUICK)
    (node,) = report.nodes
    assert node.keyspace is not None
    assert node.keyspace.stamps is not None
    assert (node.keyspace.stamps.missing, node.keyspace.stamps.entries > 0) == (0, True)
    assert "one-node" in {one.id for one in report.findings}


def test_a_dead_node_is_reported(cluster: Cluster) -> None:
    """And all others are looked at."""
    dead = cluster.nodes[-1]
    dead.kill()
    report = examine(cluster.url, QUICK)
    by_status = {node.name: node.status for node in report.nodes}
    assert by_status.pop(f"127.0.0.1:{dead.port}") == "unreachable"
    assert set(by_status.values()) == {"complete"}
    (finding,) = [one for one in report.findings if one.id == "unreachable"]
    assert (finding.level, finding.nodes) == ("serious", (f"127.0.0.1:{dead.port}",))


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A primary, a replica, sentinels."""
    require("redis")
    with Deployment(tmp_path_factory.mktemp("sentinels")) as made:
        yield made


def test_a_service(deployment: Deployment) -> None:
    """The primary and its replica, past a sentinel that is dead."""
    port = deployment.sentinels[0].port
    report = examine(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{port}/{SERVICE}", QUICK)
    assert [node.name for node in report.nodes] == [
        f"127.0.0.1:{deployment.primary.port}",
        f"127.0.0.1:{deployment.replica.port}",
    ]
    assert [node.facts.role for node in report.nodes] == ["master", "slave"]
    assert {node.status for node in report.nodes} == {"complete"}


def test_sentinels_with_a_password(deployment: Deployment, tmp_path: Path) -> None:
    """Theirs is not the servers', and not shown."""
    sentinel = Sentinel(tmp_path / "sentinel", deployment.primary.port, f"requirepass {PASSWORD.split()[0]}")
    url = f"redis+sentinel://127.0.0.1:{sentinel.port}/{SERVICE}"
    try:
        until(lambda: sentinel.ask("PING", password=PASSWORD.split()[0]))
        with pytest.raises(NobodyTellsError, match="No sentinel names a primary"):
            Origin(url, Gate(100).manner()).places()
        with pytest.raises(NobodyTellsError) as failed:
            Origin(url, Gate(100).manner(), "some secret").places()
        assert "some secret" not in str(failed.value)
        assert (
            Origin(url, Gate(100).manner(), PASSWORD.split()[0]).places()[0].name
            == f"127.0.0.1:{deployment.primary.port}"
        )
    finally:
        sentinel.kill()


def test_a_replica_that_is_read(deployment: Deployment) -> None:
    """Stamps on a replica may be old."""
    with Cache.from_url(deployment.url, namespace="test", timeout=10) as cache:
        for number in range(40):
            cache.set(f"k{number}", 1, tags=["t"])
    over = threading.Event()

    def read() -> None:
        with deployment.replica.client as client:
            while not over.wait(0.02):
                client.get("test:s:{t}")

    thread = threading.Thread(target=read)
    thread.start()
    report = examine(deployment.url, QUICK)
    over.set()
    thread.join()
    (finding,) = [one for one in report.findings if one.id == "replica-read"]
    assert finding.nodes == (f"127.0.0.1:{deployment.replica.port}",)


def test_tls(authority: object, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    """By the URL's own options, as a cache has them."""
    secure = SecureServer(authority, tmp_path)
    with secure.plain:
        report = examine(secure.url, QUICK)
    assert report.nodes[0].has_tls
    assert report.nodes[0].status == "complete"
    assert str(tmp_path) not in report.target


def test_tls_where_there_is_none_and_the_other_way_round(authority: object, tmp_path: Path) -> None:  # noqa: F811
    """The sentence says so; of a certificate that is not trusted it does not, since that is another matter."""
    secure = SecureServer(authority, tmp_path)
    plain = secure.plain
    with plain:
        for url, said in {
            f"rediss://127.0.0.1:{plain.port}/0": r"speak TLS\? If not, the URL begins with redis, not rediss",
            f"redis://127.0.0.1:{secure.port}/0": r"want TLS\? Then the URL begins with rediss",
            f"redis+cluster://127.0.0.1:{secure.port}": r"want TLS\? Then the URL begins with rediss",
            f"rediss://127.0.0.1:{secure.port}/0": r"CERTIFICATE_VERIFY_FAILED[^?]*$",
            "redis://127.0.0.1:1/0": r"connecting to[^?]*$",
        }.items():
            with pytest.raises(DoctorError, match=said):
                examine(url, QUICK)


def test_a_socket(tmp_path: Path) -> None:
    """Nothing is said on any network."""
    path = tmp_path / "s.sock"
    with Server("valkey", tmp_path / "server", "--unixsocket", str(path)):
        report = examine(f"unix://{path}", QUICK)
    node = report.nodes[0]
    assert (node.name, node.is_local, node.status) == (str(path), True, "complete")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://a:secret@h:1/0?x=secret", "redis://h:1/0"),
        ("redis+cluster://a:secret@h:1,g:2", "redis+cluster://h:1,g:2"),
        ("redis://a:se/cret@h", "The server's URL"),
    ],
)
def test_no_password_is_shown(url: str, shown: str) -> None:
    """In a report, or before it."""
    assert target_of(url) == shown


def test_who_is_local() -> None:
    """What leaves the machine should be encrypted."""
    gate = Gate(1).manner()
    assert [
        Origin(url, gate).places()[0].is_local for url in ("redis://127.0.0.1", "redis://localhost:1/2", "unix:///a")
    ] == [True] * 3
    assert not Origin("redis://cache.example:6379/0", gate).places()[0].is_local
