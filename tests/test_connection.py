"""The option `connection` (more arguments for redis-py's connections), and redis-py's clients for a store's place."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from servers import Server, free_port
from test_tls_acl import Authority, SecureServer, authority

from unstale import AsyncCache, Cache
from unstale.errors import ConfigurationError, StoreAuthError, StoreTimeoutError, StoreUnavailableError
from unstale.stores.clients import async_client_for, client_for
from unstale.stores.options import StoreOptions
from unstale.stores.proof import translated

PATIENT = 5.0
SECRET = "geheim"

__all__ = ["authority"]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that wants a user name and a password."""
    with Server("valkey", tmp_path_factory.mktemp("guarded")) as started:
        with started.client as client:
            client.execute_command("ACL", "SETUSER", "app", "on", f">{SECRET}", "~*", "&*", "+@all")
            client.execute_command("ACL", "SETUSER", "default", "nopass", "off")
        yield started


class Fixed(redis.CredentialProvider):
    """A provider of credentials."""

    def __init__(self, *credentials: str) -> None:
        self._credentials = credentials

    def get_credentials(self) -> Any:
        """The same each time."""
        return self._credentials


class Failing(redis.CredentialProvider):
    """A provider of credentials that has none today."""

    def get_credentials(self) -> Any:
        """Fail."""
        raise LookupError("the token's server is down")


async def ping(url: str, **options: Any) -> None:
    """A ping of an asyncio cache."""
    async with AsyncCache.from_url(url, timeout=PATIENT, **options) as cache:
        await cache.ping()


def ping_sync(url: str, **options: Any) -> None:
    """A ping of a cache."""
    with Cache.from_url(url, timeout=PATIENT, **options) as cache:
        cache.ping()


def ping_async(url: str, **options: Any) -> None:
    """A ping of an asyncio cache, in a loop of its own."""
    asyncio.run(ping(url, **options))


def ping_both(url: str, **options: Any) -> None:
    """A ping of a cache of each kind."""
    ping_sync(url, **options)
    ping_async(url, **options)


each_kind = pytest.mark.parametrize("pinged", [ping_sync, ping_async])


RIGHT: dict[str, dict[str, Any]] = {
    "user and password": {"username": "app", "password": SECRET},
    "a provider": {"credential_provider": Fixed("app", SECRET)},
}


@pytest.mark.parametrize("connection", RIGHT.values(), ids=RIGHT)
def test_credentials(guarded: Server, connection: dict[str, Any]) -> None:
    """Credentials in `connection` take the place of the URL's."""
    ping_both(guarded.url, connection=connection)
    ping_both(guarded.url.replace("127", "someone:else@127"), connection=connection)


WRONG: dict[str, dict[str, Any]] = {
    "password": {"username": "app", "password": "geheimer"},
    "provider": {"credential_provider": Fixed("app", "geheimer")},
}


@pytest.mark.parametrize("connection", WRONG.values(), ids=WRONG)
@each_kind
def test_wrong_credentials(guarded: Server, connection: dict[str, Any], pinged: Callable[..., None]) -> None:
    """Credentials that are refused are an error whose whole text does not show them."""
    with pytest.raises(StoreAuthError) as caught:
        pinged(guarded.url, connection=connection)
    assert "geheim" not in "".join(traceback.format_exception(caught.value))


@each_kind
def test_a_provider_that_fails(guarded: Server, pinged: Callable[..., None]) -> None:
    """A provider that raises makes the cache unavailable: reads go on, and writes say what it was."""
    given = {"credential_provider": Failing()}
    with Cache.from_url(guarded.url, timeout=PATIENT, connection=given) as cache:
        assert cache.get_or_set("k", lambda: "loaded") == "loaded"
    with pytest.raises(StoreAuthError, match="provider of credentials failed: LookupError"):
        pinged(guarded.url, connection=given)


def test_name_database_and_keepalive(session_servers: Any) -> None:
    """A client's name, a database and keepalive options reach the server and the socket, over the URL's."""
    server = session_servers("valkey")
    given = {"client_name": "mine", "db": 7, "socket_keepalive": True}
    given["socket_keepalive_options"] = {socket.TCP_KEEPCNT: 4}
    with Cache.from_url(f"{server.url}?client_name=other", timeout=PATIENT, connection=given) as cache:
        cache.ping()
        with server.client as client:
            assert [one["db"] for one in client.client_list() if one["name"] == "mine"] == ["7"]
        (wire,) = cache._store._pool.idle
        assert wire.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 4


MOOT = ("decode_responses", "health_check_interval", "parser_class", "protocol", "retry", "retry_on_error")
MOOT += ("retry_on_timeout", "socket_connect_timeout", "socket_timeout", "encoding", "socket_read_size")


def test_moot_arguments(session_servers: Any) -> None:
    """What says how redis-py itself reads, waits or tries again is ignored, whatever it is."""
    ping_both(session_servers("valkey").url, connection=dict.fromkeys(MOOT, "nonsense"))


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("redis://h", {"nope": 1}, "nope"),
    ("redis://h", {"host": "other"}, "host"),
    ("redis://h", {"connection_class": object}, "connection_class"),
    ("redis://h", {"redis_connect_func": print}, "redis_connect_func"),
    ("redis://h", {"max_connections": 5}, "max_connections"),
    ("redis://h", {"timeout": 5}, "timeout"),
    ("redis://h", {"ssl": True}, "rediss://"),
    ("redis://h", {"ssl_ca_certs": "ca.crt"}, "ssl_ca_certs.*rediss://"),
    ("rediss://h", {"ssl_nope": 1}, "ssl_nope"),
    ("rediss://h", {"ssl_cert_reqs": "bogus"}, "bogus"),
    ("unix:///s", {"socket_keepalive": True}, "socket_keepalive"),
    ("unix:///s", {"ssl_ca_certs": "ca.crt"}, "ssl_ca_certs"),
    ("redis://h", {"db": -1}, "db"),
    ("redis://h", {"db": "1"}, "db"),
    ("redis://h", {"db": True}, "db"),
    ("redis://h", {"password": 5}, "password"),
    ("redis://h", {"username": b"u"}, "username"),
    ("redis://h", {"socket_keepalive_options": [1]}, "socket_keepalive_options"),
    ("redis://h", {"socket_keepalive_options": {4: "many"}}, "socket_keepalive_options"),
    ("redis://h", {"credential_provider": "me"}, "credential_provider"),
    ("redis://h", {"credential_provider": Failing(), "password": SECRET}, "credential_provider"),
    ("embedded://", {"nope": 1}, "nope"),
]


@pytest.mark.parametrize(("url", "connection", "named"), BAD, ids=lambda value: repr(value).partition(" at 0x")[0])
@pytest.mark.parametrize("kind", [Cache, AsyncCache])
def test_arguments_that_make_no_sense(kind: Any, url: str, connection: dict[str, Any], named: str) -> None:
    """What redis-py's connection does not know, or cannot be, is refused by its name when the cache is made."""
    with pytest.raises(ConfigurationError, match=named) as caught:
        kind.from_url(url, connection=connection)
    assert SECRET not in str(caught.value)


def test_an_argument_only_one_half_of_redis_py_knows() -> None:
    """What redis-py's asyncio half cannot check is refused there, not left unchecked."""
    given = {"ssl_validate_ocsp": True}
    Cache.from_url("rediss://h", connection=given).close()
    with pytest.raises(ConfigurationError, match="ssl_validate_ocsp"):
        AsyncCache.from_url("rediss://h", connection=given)


@pytest.mark.parametrize("given", [5, "password=x", [("password", "x")]], ids=str)
@pytest.mark.parametrize("option", ["connection", "sentinel"])
def test_no_mapping(option: str, given: Any) -> None:
    """Both options are mappings."""
    with pytest.raises(ConfigurationError, match=option):
        Cache.from_url("memory://", **{option: given})


def test_a_repr_without_secrets() -> None:
    """The options' repr shows no argument."""
    options = StoreOptions(connection={"password": SECRET}, sentinel={"password": SECRET})
    assert SECRET not in repr(options)


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never answers: as Redis does, which waits for a line's end."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize(("scheme", "is_told"), [("redis", False), ("rediss", True)])
def test_a_time_limit_with_tls(silent: int, scheme: str, is_told: bool) -> None:
    """Who speaks TLS to a port that does not is told what it may be."""
    with (
        Cache.from_url(f"{scheme}://127.0.0.1:{silent}/0", timeout=0.3) as cache,
        pytest.raises(StoreTimeoutError) as raised,
    ):
        cache.invalidate("t")
    assert ("TLS" in str(raised.value)) is is_told


@pytest.mark.parametrize(("scheme", "is_told"), [("redis", False), ("rediss", True)])
def test_a_time_limit_with_tls_in_asyncio(silent: int, scheme: str, is_told: bool) -> None:
    """So is who does it from asyncio."""

    async def invalidate() -> None:
        async with AsyncCache.from_url(f"{scheme}://127.0.0.1:{silent}/0", timeout=0.3) as cache:
            await cache.invalidate("t")

    with pytest.raises(StoreTimeoutError) as raised:
        asyncio.run(invalidate())
    assert ("TLS" in str(raised.value)) is is_told


def test_memory_and_embedded_ignore_what_they_cannot_use() -> None:
    """In the place of a server's URL, as in tests, memory:// and embedded:// work with its credentials and TLS."""
    given = {"username": "app", "password": SECRET, "ssl_ca_certs": "ca.crt", "socket_keepalive": True}
    ping_both("memory://", connection=given)
    ping_both("embedded://", connection=given)


@pytest.mark.parametrize("error", [TypeError(SECRET), ValueError(SECRET)], ids=lambda error: type(error).__name__)
def test_a_value_that_redis_py_finds_out_about_late(error: Exception) -> None:
    """A value over which redis-py stumbles only while it connects makes the cache unavailable, not the caller fail."""
    ours = translated(error)
    assert isinstance(ours, StoreUnavailableError)
    assert SECRET not in str(ours)


@pytest.fixture(scope="module")
def certified(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    """A server that wants a certificate of its clients."""
    made = SecureServer(authority, tmp_path_factory.mktemp("certified"))
    made.plain.options = tuple("yes" if one == "no" else one for one in made.plain.options)
    with made.plain:
        yield made


def test_tls(authority: Authority, certified: SecureServer) -> None:
    """The authority and the client's own certificate are arguments."""
    certificate, key = authority.issue("client", "IP:127.0.0.1")
    files = {"ssl_ca_certs": str(authority.certificate), "ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    url = f"rediss://127.0.0.1:{certified.port}/0"
    ping_both(url, connection=files)
    with client_for(url, StoreOptions(connection=files)) as client:
        assert client.ping()
    with pytest.raises(StoreUnavailableError, match="certificate verify failed"):
        ping_both(url)
    with pytest.raises(StoreUnavailableError):
        ping_both(url, connection={"ssl_ca_certs": str(authority.certificate)})


def test_tls_another_name(authority: Authority, certified: SecureServer) -> None:
    """Whether the certificate must be for the URL's host is an argument."""
    certificate, key = authority.issue("client2", "IP:127.0.0.1")
    files = {"ssl_ca_certs": str(authority.certificate), "ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    url = f"rediss://localhost:{certified.port}/0"
    with pytest.raises(StoreUnavailableError, match="certificate verify failed"):
        ping_both(url, connection=files)
    ping_both(url, connection={**files, "ssl_check_hostname": False})


async def used_by_asyncio(url: str, options: StoreOptions, **more: Any) -> Any:
    """What an asyncio client reads after it wrote, and its database."""
    async with async_client_for(url, options, **more) as client:
        await client.set("of the client", "ä")
        return await client.get("of the client"), (await client.client_info())["db"]


def test_a_client(guarded: Server) -> None:
    """A client of redis-py's has the URL's and the arguments' credentials and database, and gives bytes."""
    options = StoreOptions(connection={"username": "app", "password": SECRET, "db": 3, "decode_responses": True})
    with client_for(guarded.url, options) as client:
        client.set("of the client", "ä")
        given = client.get("of the client"), client.client_info()["db"]
        assert SECRET not in repr(client)
    assert given == ("ä".encode(), 3)
    assert asyncio.run(used_by_asyncio(guarded.url, options)) == given


def test_a_client_waits_as_long_as_it_is_told(session_servers: Any) -> None:
    """A client's time limit is its own, not the store's; its pool is bounded by the store's."""
    options = StoreOptions(timeout=0.05, max_connections=1)
    url = session_servers("valkey").url
    with client_for(url, options) as client:
        assert client.blpop(["nothing"], timeout=0.2) is None
        assert client.connection_pool.max_connections == 1
    with client_for(url, options, socket_timeout=0.05) as client, pytest.raises(redis.TimeoutError):
        client.blpop(["nothing"], timeout=1)
    with client_for(url, options, socket_timeout=None) as client:
        assert client.blpop(["nothing"], timeout=0.2) is None


def test_a_client_of_an_embedded_server(tmp_path: Path) -> None:
    """A client keeps an embedded server alive, and lets it go with itself."""
    directory = tmp_path / "e"
    url = f"embedded://{directory}"
    client = client_for(url, StoreOptions(connection={"db": 2, "password": SECRET}))
    with Cache.from_url(url, timeout=PATIENT) as cache:
        cache.ping()
    assert client.set("k", "v")
    assert client.client_info()["db"] == 2
    assert asyncio.run(used_by_asyncio(url, StoreOptions())) == ("ä".encode(), 0)
    assert client.get("k") == b"v"
    held = (directory / "users.lock").stat().st_ino in open_files()
    client.close()
    del client
    gc.collect()
    assert (held, (directory / "users.lock").stat().st_ino in open_files()) == (True, False)


def open_files() -> set[int]:
    """The inodes of the files that this process has open."""
    found = set()
    for number in Path("/dev/fd").iterdir():
        try:
            found.add(os.fstat(int(number.name)).st_ino)
        except OSError:
            continue
    return found


def test_no_client_of_memory() -> None:
    """memory:// has no client."""
    with pytest.raises(ConfigurationError, match="memory://"):
        client_for("memory://", StoreOptions())
    with pytest.raises(ConfigurationError, match="memory://"):
        async_client_for("memory://", StoreOptions())


def test_a_client_of_a_dead_server() -> None:
    """A client's errors are redis-py's."""
    with client_for(f"redis://127.0.0.1:{free_port()}", StoreOptions()) as client, pytest.raises(redis.RedisError):
        client.ping()
