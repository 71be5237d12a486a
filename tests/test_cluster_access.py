"""How a cluster is reached: TLS, names that nodes announce, users with few rights, tokens that change, one endpoint."""

from __future__ import annotations

import asyncio
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from socket import create_connection, socket
from typing import Any, Self

import pytest
import redis
from clusters import Cluster, Node, Tls, slot_of
from test_cluster_verbs import KINDS, done, drive, expected, loader, surface
from test_tls_acl import CLOSING, COMMANDS, Authority, authority

from unstale import Cache, UnstaleError
from unstale.errors import StoreAuthError, StoreRefusedError, StoreUnavailableError
from unstale.events import Event, Failed
from unstale.stores.clients import async_client_for, client_for
from unstale.stores.options import StoreOptions

__all__ = ["authority"]

PATIENT = 5.0
WITH_NAMES = ("--cluster-announce-hostname", "localhost", "--cluster-preferred-endpoint-type", "hostname")


async def uses(cache: Any, roots: list[str]) -> None:
    """Every verb, for entries of these roots."""
    assert {root: await surface(cache, root) for root in roots} == {root: expected(root) for root in roots}


async def is_reached(cache: Any, roots: list[str]) -> bool:
    """Whether values of these roots are stored and served."""
    for root in roots:
        await done(cache.invalidate(root))
        await done(cache.get_or_set(f"of {root}", loader(cache, "filled"), tags=[root]))
    return [await done(cache.get(f"of {root}", tags=[root])) for root in roots] == ["filled"] * len(roots)


@pytest.fixture(scope="module")
def secure(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster that speaks TLS, with certificates for the name that its nodes announce, and not for their address."""
    certificate, key = authority.issue("node", "DNS:localhost")
    tls = Tls(certificate, key, authority.certificate)
    with Cluster("redis", tmp_path_factory.mktemp("secure"), *WITH_NAMES, tls=tls) as started:
        yield started


@pytest.mark.parametrize("kind", KINDS)
def test_tls_with_the_names_that_nodes_announce(secure: Cluster, authority: Authority, kind: Any) -> None:
    """Every verb works over TLS; each node is reached, and verified, by the name that it announces."""
    secure.flush()
    url = secure.url_of(secure.nodes[0], host="localhost", rest=f"/0?ssl_ca_certs={authority.certificate}")
    drive(kind, url, lambda cache: uses(cache, secure.roots(1)))


UNTRUSTED: dict[str, tuple[str, str]] = {
    "no authority": ("localhost", ""),
    "another authority": ("localhost", "other"),
    "a seed by its address": ("127.0.0.1", "own"),
}


@pytest.mark.parametrize(("host", "which"), UNTRUSTED.values(), ids=UNTRUSTED)
@pytest.mark.parametrize("kind", KINDS)
def test_tls_nodes_that_are_not_trusted(
    secure: Cluster, authority: Authority, tmp_path: Path, kind: Any, host: str, which: str
) -> None:
    """A certificate of another authority, or for another name, is refused, and the error says so; reads go on."""
    options: dict[str, Any] = {}
    if which == "other":
        options["connection"] = {"ssl_ca_certs": str(Authority(tmp_path / "ca", "unstale test authority").certificate)}
    elif which == "own":
        options["connection"] = {"ssl_ca_certs": str(authority.certificate)}

    async def body(cache: Any) -> None:
        with pytest.raises(StoreUnavailableError, match=r"(?i)certificate verify failed"):
            await done(cache.ping())
        assert await done(cache.get_or_set("k", loader(cache, "loaded"), tags=["t"])) == "loaded"

    drive(kind, secure.url_of(secure.nodes[0], host=host), body, **options)


def test_tls_slots_move(secure: Cluster, authority: Authority) -> None:
    """A slot that is half here and half there is served over TLS too, and found again when it has moved."""
    secure.flush()
    first, second, _ = secure.primaries
    (root,) = secure.roots_at(first, 1)
    url = secure.url_of(first, host="localhost", rest=f"?ssl_ca_certs={authority.certificate}")
    with Cache.from_url(url, namespace="test", timeout=PATIENT) as cache:
        cache.set("k", "v", tags=[root])

        def is_served() -> None:
            assert cache.get_or_set("k", lambda: "v", tags=[root]) == "v"

        secure.move(slot_of(b"{%b}" % root.encode()), second, is_served)
        assert cache.get_or_set("k", lambda: "anew", tags=[root]) in {"v", "anew"}
        assert cache.get("k", tags=[root]) is not None


def test_tls_clients_of_redis_py(secure: Cluster, authority: Authority) -> None:
    """redis-py's clients for the place of a store reach the cluster, with the same TLS."""
    rest = f"?ssl_ca_certs={authority.certificate}&ssl_check_hostname=false"  # it puts an address for "localhost"
    url = secure.url_of(secure.nodes[1], host="localhost", rest=rest)

    async def main() -> Any:
        async with async_client_for(url, StoreOptions()) as client:
            return [await client.get(f"k{number}") for number in range(20)]

    with client_for(url, StoreOptions()) as client:
        assert all(client.set(f"k{number}", "v") for number in range(20))
    assert asyncio.run(main()) == [b"v"] * 20


@pytest.fixture(scope="module")
def nameless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose nodes say nothing of their host."""
    options = ("--cluster-preferred-endpoint-type", "unknown-endpoint")
    with Cluster("valkey", tmp_path_factory.mktemp("nameless"), *options) as started:
        yield started


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_of_unknown_endpoint(nameless: Cluster, kind: Any) -> None:
    """Nodes that announce no host are reached at the host that was asked, each by its own port."""
    roots = nameless.roots(1)
    assert drive(kind, nameless.url_of(nameless.nodes[0]), lambda cache: is_reached(cache, roots))


OF_CLUSTERS = ("cluster|slots", "asking")
"""What a user needs on a cluster besides what it needs anywhere (`test_tls_acl`), on every node:

    +cluster|slots +asking
"""


@pytest.fixture
def allow(cluster: Cluster) -> Iterator[Callable[..., str]]:
    """Give the user "app" some rights on every node; a URL with it. Its connections end, the user with the test."""

    def with_rights(*commands: str) -> str:
        rights = [f"+{command}" for command in commands]
        cluster.each("ACL", "SETUSER", "app", "reset", "on", ">secret", "~test:*", *rights)
        cluster.each("CLIENT", "KILL", "TYPE", "normal", "USER", "app")
        return cluster.url_of(*cluster.nodes[1:3], user="app:secret@")

    yield with_rights
    cluster.each("ACL", "DELUSER", "app")


def fails(cluster: Cluster, url: str) -> list[str]:
    """What does not work for a user: at every node, with strict mode, while a slot moves; nothing if all does."""
    failed: list[str] = []

    def hook(event: Event) -> None:
        if isinstance(event, Failed) and "TRYAGAIN" not in str(event.error):  # nothing is stored while its slot moves
            failed.append(str(event.error))

    first, second, _ = cluster.primaries
    *roots, root = [*cluster.roots(1), cluster.roots_at(first, 2)[1]]

    async def body(cache: Any) -> None:
        failed.extend([f"a verb at {one}" for one in roots if await surface(cache, one) != expected(one)])
        await done(cache.clear())
        assert await is_reached(cache, [root])

        def look() -> None:
            cache.get_or_set(f"of {root}", loader(cache, "filled"), tags=[root])
            cache.invalidate(root)

        cluster.move(slot_of(b"{%b}" % root.encode()), second, look)
        assert await is_reached(cache, [root])

    try:
        drive(Cache, url, body, on_event=hook, lease=0.1)
    except UnstaleError as error:
        failed.append(str(error))
    return failed


def test_acl_these_commands_suffice(cluster: Cluster, allow: Callable[..., str]) -> None:
    """With the documented commands, on the namespace's keys only, everything works on a cluster."""
    assert fails(cluster, allow(*COMMANDS, *CLOSING, *OF_CLUSTERS)) == []


@pytest.mark.parametrize("command", OF_CLUSTERS)
def test_acl_each_command_is_needed(cluster: Cluster, allow: Callable[..., str], command: str) -> None:
    """Without one of those that a cluster needs besides, something fails, and says so."""
    others = [one for one in OF_CLUSTERS if one != command]
    assert fails(cluster, allow(*COMMANDS, *CLOSING, *others)) != []


def test_acl_without_the_topology(cluster: Cluster, allow: Callable[..., str]) -> None:
    """A user who may not ask for the topology is told what to allow; reads go on."""
    with Cache.from_url(allow(*COMMANDS, *CLOSING), namespace="test", timeout=PATIENT) as cache:
        with pytest.raises(StoreRefusedError, match=r"cluster\|"):
            cache.ping()
        assert cache.get_or_set("k", lambda: "loaded") == "loaded"


class Tokens(redis.CredentialProvider):
    """A provider of credentials whose token changes, as those of a cloud's identity service do.

    Attributes:
        asked: how often it was asked.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.asked = 0
        self.token = ""

    def get_credentials(self) -> tuple[str, str]:
        """The user and the token of now."""
        self.asked += 1
        return "app", self.token

    async def get_credentials_async(self) -> tuple[str, str]:
        """The same for asyncio."""
        return self.get_credentials()

    def change(self, token: str) -> None:
        """Let the servers take another token, and no longer the one before; connections that live go on."""
        rights = [f"+{command}" for command in (*COMMANDS, *CLOSING, *OF_CLUSTERS)]
        self.cluster.each("ACL", "SETUSER", "app", "on", "resetpass", f">{token}", "~test:*", *rights)
        self.token = token

    def cut(self) -> None:
        """End the connections of the user, as a service does when a token is too old."""
        self.cluster.each("CLIENT", "KILL", "TYPE", "normal", "USER", "app")


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_that_changes(cluster: Cluster, allow: Callable[..., str], kind: Any) -> None:
    """Connections that live go on under a new token, new ones take it, and so do those that a node has cut."""
    allow()
    tokens = Tokens(cluster)
    tokens.change("first")
    roots = cluster.roots(1)

    async def body(cache: Any) -> None:
        assert await is_reached(cache, roots)
        asked = tokens.asked
        tokens.change("second")
        assert await is_reached(cache, roots)
        assert tokens.asked == asked  # over the connections that there were
        tokens.cut()
        assert await is_reached(cache, roots)
        assert tokens.asked > asked
        tokens.change("third")
        tokens.cut()
        tokens.token = "second"  # the provider has not heard of it yet
        with pytest.raises(StoreAuthError):
            await done(cache.invalidate(roots[0]))
        assert await done(cache.get("k", "default", tags=roots[:1])) == "default"
        tokens.token = "third"
        assert await is_reached(cache, roots)

    drive(kind, cluster.url_of(cluster.nodes[0]), body, connection={"credential_provider": tokens})


class Endpoint(socketserver.ThreadingTCPServer):
    """A name for some node of a cluster, whichever it is now. Use as a context manager.

    Attributes:
        target: the node's port.
        asked: how many connections there were.
    """

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, node: Node) -> None:
        super().__init__(("127.0.0.1", 0), Passed)
        self.target = node.port
        self.asked = 0
        self._serving = threading.Thread(target=self.serve_forever, args=(0.05,))

    @property
    def url(self) -> str:
        return f"redis+cluster://localhost:{self.server_address[1]}"

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()
        self._serving.join()
        self.server_close()


class Passed(socketserver.BaseRequestHandler):
    """A connection to the endpoint, passed on."""

    server: Endpoint

    def handle(self) -> None:
        """Pass on what comes, in both directions, until one side has enough."""
        self.server.asked += 1
        with suppress(OSError), create_connection(("127.0.0.1", self.server.target), 5) as there:
            back = threading.Thread(target=self._pass, args=(there, self.request), daemon=True)
            back.start()
            self._pass(self.request, there)
            back.join()

    @staticmethod
    def _pass(source: socket, target: socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(1)


@pytest.mark.parametrize("cluster", ["redis"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_an_endpoint_whose_node_dies(cluster: Cluster, kind: Any) -> None:
    """One name is enough to reach all nodes; it is not needed any more when they are known."""
    with Endpoint(cluster.nodes[0]) as endpoint:

        async def body(cache: Any) -> None:
            assert await is_reached(cache, cluster.roots(1))
            endpoint.target = 1
            cluster.lose(cluster.primaries[0])
            assert await is_reached_at_last(cache, cluster.roots(1))

        drive(kind, endpoint.url, body, timeout=1.0)


@pytest.mark.parametrize("cluster", ["redis"], indirect=True)
@pytest.mark.parametrize("kind", KINDS)
def test_an_endpoint_of_another_cluster(tmp_path: Path, cluster: Cluster, kind: Any) -> None:
    """When all known nodes are gone the name is asked again, and may lead to a cluster that took their place."""
    with Cluster("valkey", tmp_path / "before") as before, Endpoint(before.nodes[3]) as endpoint:

        async def body(cache: Any) -> None:
            assert await is_reached(cache, before.roots(1))
            asked = endpoint.asked
            before.end()
            assert await done(cache.get("k", "default", tags=["t"])) == "default"
            endpoint.target = cluster.nodes[0].port
            assert await is_reached_at_last(cache, cluster.roots(1))
            assert endpoint.asked > asked

        drive(kind, endpoint.url, body, timeout=1.0)


async def is_reached_at_last(cache: Any, roots: list[str]) -> bool:
    """Whether values of these roots are served, sooner or later; else the test runs out of time."""
    while True:
        with suppress(UnstaleError):
            if await is_reached(cache, roots):
                return True
        await asyncio.sleep(0.05)
