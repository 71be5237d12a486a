"""TLS with a certificate authority of the tests' own, and a user with the fewest rights that suffice."""

from __future__ import annotations

import math
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from children.launch import Child
from servers import SERVERS, Server, binary_of, free_port, require

from unstale import Cache, UnstaleError, remembering
from unstale.errors import NotReplicatedError, StoreRefusedError, StoreTimeoutError, StoreUnavailableError
from unstale.events import Event, Failed

NOT_HUNG = 8.0


class Authority:
    """A certificate authority in a directory, made by the openssl program."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory
        self.certificate = directory / "ca.crt"
        directory.mkdir()
        self._openssl("req", "-x509", *self._new_key("ca"), "-out", "ca.crt", "-days", "2", "-subj", f"/CN={name}")

    def issue(self, name: str, alternative: str) -> tuple[Path, Path]:
        """A certificate for an alternative name (IP:… or DNS:…), and its key."""
        (self.directory / "san").write_text(f"subjectAltName={alternative}\n")
        self._openssl("req", *self._new_key(name), "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "san"]
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt")
        return self.directory / f"{name}.crt", self.directory / f"{name}.key"

    @staticmethod
    def _new_key(name: str) -> list[str]:
        return ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key"]

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.directory, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority that the clients trust."""
    require("redis")
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program is not installed")
    probe = subprocess.run(
        [str(binary_of("redis")), "--tls-port", "0", "--no-such-directive", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if "'tls-port" in probe.stdout + probe.stderr:
        pytest.skip("this redis-server was built without TLS")
    return Authority(tmp_path_factory.mktemp("tls") / "ca", "unstale test authority")


class SecureServer:
    """A server with a plain port, for the test itself, and one for TLS."""

    def __init__(self, authority: Authority, directory: Path) -> None:
        certificate, key = authority.issue("server", "IP:127.0.0.1")
        self.port = free_port()
        options = ["--tls-port", str(self.port), "--tls-auth-clients", "no"]
        options += ["--tls-cert-file", str(certificate), "--tls-key-file", str(key)]
        options += ["--tls-ca-cert-file", str(authority.certificate)]
        self.plain = Server("redis", directory, *options)
        self.url = f"rediss://127.0.0.1:{self.port}/0?ssl_ca_certs={authority.certificate}"


@pytest.fixture(scope="module")
def secure(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureServer]:
    """A server with TLS for this module."""
    made = SecureServer(authority, tmp_path_factory.mktemp("secure"))
    with made.plain:
        yield made


def surface(cache: Cache) -> dict[str, Any]:
    """What every verb gives, once each in a way that needs all that the verb may need."""
    given: dict[str, Any] = {"ping": cache.ping()}
    with remembering():
        given["get_or_set"] = cache.get_or_set("k", lambda: "loaded", tags=["t"])
        given["get"] = cache.get("k", tags=["t"])
        given["a miss"] = cache.get("nothing", tags=["new"])
        with suppress(LookupError):
            cache.get_or_set("failing", lambda: {}["x"])
        given["after a failure"] = cache.get_or_set("failing", lambda: 1)
    given["set"] = cache.set("s", "v", tags=["t"], ttl=60)
    given["set for ever"] = cache.set("for ever", "v", ttl=None)
    given["set_many"] = cache.set_many({"m": 1, "n": [2]}, tags=["u/v"])
    given["get_many"] = cache.get_many(["k", "m", "n"])
    given["add"] = [cache.add("a", 1), cache.add("a", 2)]
    given["has_key"] = [cache.has_key("a"), cache.has_key("b")]
    given["incr"] = [cache.incr("a", 5), cache.incr("c", initial=7)]
    given["touch"] = [cache.touch("s", 50), cache.touch("s", None), cache.touch("none")]
    given["ttl"] = [cache.ttl("s"), cache.ttl("none")]
    given["delete"] = [cache.delete("a"), cache.delete("a")]
    given["invalidate"] = cache.invalidate("t", "u").bumped
    given["stale"] = [cache.has_key("k"), cache.has_key("m"), cache.get("s")]
    given["scope"] = cache.scope("user", 1).get_or_set("k", lambda: "mine")
    given["clear"] = [cache.clear().bumped > 0, cache.get("for ever")]
    return given


EXPECTED = {
    "ping": None,
    "get_or_set": "loaded",
    "get": "loaded",
    "a miss": None,
    "after a failure": 1,
    "set": True,
    "set for ever": True,
    "set_many": [],
    "get_many": {"k": "loaded", "m": 1, "n": [2]},
    "add": [True, False],
    "has_key": [True, False],
    "incr": [6, 8],
    "touch": [True, True, False],
    "ttl": [math.inf, None],
    "delete": [True, False],
    "invalidate": 2,
    "stale": [False, False, None],
    "scope": "mine",
    "clear": [True, None],
}


@contextmanager
def opened(url: str, timeout: float = 10.0, **options: Any) -> Iterator[Cache]:
    """A cache for a test's while."""
    with Cache.from_url(url, namespace="test", timeout=timeout, **options) as cache, remembering():
        yield cache


def test_tls_every_verb(secure: SecureServer) -> None:
    """Every verb works over TLS."""
    with secure.plain.client as client:
        client.flushall()
    with opened(secure.url) as cache:
        assert surface(cache) == EXPECTED


def test_tls_large_values(secure: SecureServer) -> None:
    """Values of many TLS records travel both ways."""
    value = bytes(range(256)) * 8192
    with opened(secure.url) as cache:
        assert cache.set("large", value)
        assert cache.get("large") == value
        assert cache.get_many(["large", "none"]) == {"large": value}


def test_tls_many_threads_and_a_fork(secure: SecureServer) -> None:
    """Threads and forked children get their own answers over TLS, and a silent server hangs none of them."""
    with Child("shared.py", "fork", secure.url, "0.5") as child:
        assert child.hear() == "ready"
        secure.plain.freeze()
        try:
            child.say("frozen")
            outcomes = child.hear()["outcomes"]
        finally:
            secure.plain.thaw()
        assert {outcome["loaded"] for outcome in outcomes} == {"loaded"}
        assert {outcome["invalidated"] for outcome in outcomes} == {"timed out"}
        child.say("thawed")
        assert child.hear() == []


def test_tls_a_silent_server(secure: SecureServer) -> None:
    """The time limit holds over TLS, where the kernel does not keep it."""
    with opened(secure.url, timeout=0.5) as cache:
        with suppress(StoreTimeoutError):
            cache.ping()
        secure.plain.freeze()
        try:
            began = time.monotonic()
            with pytest.raises(StoreTimeoutError):
                cache.invalidate("t")
            assert cache.get("k", "default") == "default"
            assert time.monotonic() - began < NOT_HUNG
        finally:
            secure.plain.thaw()


UNTRUSTED: dict[str, Callable[[SecureServer], str]] = {
    "no authority": lambda secure: f"rediss://127.0.0.1:{secure.port}/0",
    "another host": lambda secure: secure.url.replace("127.0.0.1", "localhost"),
}


@pytest.mark.parametrize("url_of", UNTRUSTED.values(), ids=UNTRUSTED)
def test_tls_a_server_that_is_not_trusted(secure: SecureServer, url_of: Callable[[SecureServer], str]) -> None:
    """A certificate of an unknown authority, or for another name, is refused, and the error says so."""
    with opened(url_of(secure)) as cache, pytest.raises(StoreUnavailableError, match=r"(?i)certificate verify failed"):
        cache.ping()


def test_tls_another_authority(secure: SecureServer, tmp_path: Path) -> None:
    """A certificate of another authority of the same name is refused."""
    impostor = Authority(tmp_path / "other", "unstale test authority")
    url = f"rediss://127.0.0.1:{secure.port}/0?ssl_ca_certs={impostor.certificate}"
    with opened(url) as cache, pytest.raises(StoreUnavailableError, match=r"(?i)certificate verify failed"):
        cache.ping()


MISMATCHED: dict[str, Callable[[SecureServer], str]] = {
    "TLS to a plain port": lambda secure: secure.url.replace(str(secure.port), str(secure.plain.port)),
    "plain to a TLS port": lambda secure: f"redis://127.0.0.1:{secure.port}/0",
    "no such file": lambda secure: f"rediss://127.0.0.1:{secure.port}/0?ssl_ca_certs=/no/such/file",
}


@pytest.mark.parametrize("url_of", MISMATCHED.values(), ids=MISMATCHED)
def test_tls_where_there_is_none(secure: SecureServer, url_of: Callable[[SecureServer], str]) -> None:
    """TLS on one side only, or without its file, is an error in time for writes, and a miss for reads."""
    with opened(url_of(secure), timeout=1.0) as cache:
        began = time.monotonic()
        with pytest.raises(StoreUnavailableError):
            cache.ping()
        assert cache.get("k", "default") == "default"
        assert time.monotonic() - began < NOT_HUNG


COMMANDS = (
    "mget",
    "get",
    "set",
    "getrange",
    "setrange",
    "exists",
    "type",
    "rename",
    "unlink",
    "pttl",
    "pexpire",
    "persist",
    "eval",
    "evalsha",
    "info",
    "ping",
)
"""The commands that a user needs for every verb, scripts included, on the keys ~namespace:* :

    ACL SETUSER app on >password ~shop:* +mget +get +set +getrange +setrange +exists +type +rename +unlink +pttl
        +pexpire +persist +eval +evalsha +info +ping

and +select for a database other than 0. AUTH needs no permission; CLIENT SETINFO, which redis-py tries, may be denied.
"""

CLOSING = ("time", "zadd", "zrange", "zrem", "zremrangebyscore", "pexpireat")
"""What strict mode and `replica_lag` need besides:

    +time +zadd +zrange +zrem +zremrangebyscore +pexpireat
"""


class Restricted:
    """A server with a user "app" that has some rights only."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def url(self, database: int = 0) -> str:
        return f"redis://app:secret@127.0.0.1:{self.server.port}/{database}"

    def allow(self, commands: tuple[str, ...], keys: str = "~test:*") -> None:
        """Give the user these commands and no others, on these keys, on an empty server."""
        with self.server.client as client:
            client.flushall()
            client.script_flush()
            rights = [f"+{command}" for command in commands]
            client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", keys, *rights)
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def fails(self, database: int = 0) -> list[str]:
        """What does not work for the user; nothing if all does."""
        failed: list[str] = []

        def hook(event: Event) -> None:
            if isinstance(event, Failed):
                failed.append(str(event.error))

        with opened(self.url(database), on_event=hook, lease=0.1) as cache:
            try:
                given = surface(cache)
                failed += [verb for verb, value in EXPECTED.items() if given[verb] != value]
                self._fill_up()
                cache.invalidate("user:1", "u")
            except UnstaleError as error:
                failed.append(str(error))
            finally:
                self._make_room()
        return failed

    def closing_fails(self) -> list[str]:
        """What does not work for the user of strict mode, and of a cache whose loaders may lag."""
        failed: list[str] = []

        def hook(event: Event) -> None:
            if isinstance(event, Failed):
                failed.append(str(event.error))

        with opened(self.url()) as cache, opened(self.url(), on_event=hook, replica_lag=0.01) as lagging:
            try:
                with cache.strict("user:1"):
                    cache.get_or_set("k", lambda: "v", tags=["user:1"])
                for _ in range(2):  # closed at first, then opened
                    lagging.get_or_set("k", lambda: "v", tags=["user:1"])
                    time.sleep(0.05)
                lagging.invalidate("user:1")
                with lagging.strict("user:1"):
                    pass
            except UnstaleError as error:
                failed.append(str(error))
        return failed

    def _fill_up(self) -> None:
        with self.server.client as client:
            client.config_set("maxmemory", 1)

    def _make_room(self) -> None:
        with self.server.client as client:
            client.config_set("maxmemory", 0)


@pytest.fixture(scope="module", params=SERVERS)
def restricted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restricted]:
    """A server of each kind with a user whose rights a test chooses."""
    require(request.param)
    with Server(request.param, tmp_path_factory.mktemp("acl")) as started:
        yield Restricted(started)


def test_acl_these_commands_suffice(restricted: Restricted) -> None:
    """With the documented commands, on the namespace's keys only, everything works."""
    restricted.allow(COMMANDS)
    assert restricted.fails() == []


@pytest.mark.parametrize("command", COMMANDS)
def test_acl_each_command_is_needed(restricted: Restricted, command: str) -> None:
    """Without any one of them something fails, and says so."""
    restricted.allow(tuple(each for each in COMMANDS if each != command))
    assert restricted.fails() != []


def test_acl_these_commands_suffice_for_closing(restricted: Restricted) -> None:
    """With the documented commands strict mode works, and a cache whose loaders may lag."""
    restricted.allow((*COMMANDS, *CLOSING))
    assert restricted.closing_fails() == []


@pytest.mark.parametrize("command", CLOSING)
def test_acl_each_command_is_needed_for_closing(restricted: Restricted, command: str) -> None:
    """Without any one of them something fails, and says so."""
    restricted.allow(tuple(each for each in (*COMMANDS, *CLOSING) if each != command))
    assert restricted.closing_fails() != []


def test_acl_another_database(restricted: Restricted) -> None:
    """A database other than 0 needs +select, and no more."""
    restricted.allow(COMMANDS)
    assert restricted.fails(database=1) != []
    restricted.allow((*COMMANDS, "select"))
    assert restricted.fails(database=1) == []


def test_acl_other_keys(restricted: Restricted) -> None:
    """A user who may use another namespace's keys only can do nothing here."""
    restricted.allow(COMMANDS, "~other:*")
    assert restricted.fails() != []


def test_acl_nothing_outside_the_namespace(restricted: Restricted) -> None:
    """With every verb used, nothing but the namespace's keys has been written."""
    restricted.allow(COMMANDS)
    restricted.fails()
    with restricted.server.client as client:
        assert [name for name in client.keys() if not name.startswith(b"test:")] == []  # noqa: SIM118 - no dict


def test_acl_without_info(restricted: Restricted) -> None:
    """A user who may not use INFO is told what to allow; reads go on."""
    restricted.allow(tuple(each for each in COMMANDS if each != "info"))
    with opened(restricted.url()) as cache:
        with pytest.raises(StoreRefusedError, match=r"\+info"):
            cache.ping()
        assert cache.get_or_set("k", lambda: "loaded") == "loaded"


NAMED: dict[str, Callable[[Cache], Any]] = {
    "mget": lambda cache: cache.ttl("k"),
    "pttl": lambda cache: cache.ttl("k"),
    "getrange": lambda cache: cache.ttl("k"),
    "unlink": lambda cache: cache.delete("k"),
    "set": lambda cache: cache.invalidate("t"),
    "evalsha": lambda cache: cache.set("k", "v"),
    "eval": lambda cache: cache.set("k", "v"),
    "ping": lambda cache: cache.ping(),
}


@pytest.mark.parametrize(("command", "verb"), NAMED.items(), ids=NAMED)
def test_acl_an_error_names_the_command(restricted: Restricted, command: str, verb: Callable[[Cache], Any]) -> None:
    """A user who lacks a command is told which."""
    restricted.allow(tuple(each for each in COMMANDS if each != command))
    with opened(restricted.url()) as cache, pytest.raises(StoreRefusedError, match=f"'{command}'"):
        verb(cache)


@pytest.mark.parametrize("command", ["rename", "setrange", "exists", "pexpire"])
def test_acl_an_error_of_a_script(restricted: Restricted, command: str) -> None:
    """A user who lacks a command that only a script calls is told that it is a matter of rights."""
    restricted.allow(tuple(each for each in COMMANDS if each != command))
    with opened(restricted.url()) as cache, pytest.raises(StoreRefusedError, match=r"permissions|can't run this"):
        cache.set("k", "v")


def test_acl_replay_needs_no_info(restricted: Restricted) -> None:
    """With fence="replay" neither INFO nor ROLE is needed, nor anything that the list above has not."""
    restricted.allow(tuple(each for each in COMMANDS if each != "info"))
    with opened(restricted.url(), fence="replay") as cache:
        assert surface(cache) == EXPECTED


def test_acl_replay_brings_with_these_rights(restricted: Restricted) -> None:
    """So is what a new connection brings."""
    restricted.allow(tuple(each for each in COMMANDS if each != "info"))
    with opened(restricted.url(), fence="replay") as cache, redis.Redis(port=restricted.server.port) as client:
        cache.set("k", "v", tags=["t"])
        before = client.get("test:s:{t}")
        cache.invalidate("t")
        client.set("test:s:{t}", before)
        client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert cache.get("k", "stale", tags=["t"]) == "stale"


def test_acl_wait(restricted: Restricted) -> None:
    """`wait` needs WAIT besides."""
    restricted.allow((*COMMANDS, "wait"))
    with opened(restricted.url(), wait=1, wait_timeout=0.01) as cache, pytest.raises(NotReplicatedError):
        cache.invalidate("t")


def test_acl_a_user_without_rights(restricted: Restricted) -> None:
    """A user who may do nothing at all loses the cache, not the values."""
    restricted.allow(())
    with opened(restricted.url()) as cache:
        assert cache.get_or_set("k", lambda: "loaded") == "loaded"
        with pytest.raises(StoreRefusedError):
            cache.invalidate("t")


def test_acl_rights_that_are_taken_away(restricted: Restricted) -> None:
    """A user who loses a right on an open connection: reads go on, writes raise."""
    restricted.allow(COMMANDS)
    with opened(restricted.url()) as cache, redis.Redis(port=restricted.server.port) as client:
        cache.set("k", "v")
        client.execute_command("ACL", "SETUSER", "app", "-mget", "-set")
        assert cache.get("k", "default") == "default"
        with pytest.raises(StoreRefusedError):
            cache.invalidate("t")
