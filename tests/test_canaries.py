"""No secret and no value is said by any error, log line of any level, event, warning, or repr of an object of ours.

Keys and tags are said. What a loader raises is the caller's own, and passes as it is; no event and no log shows it.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hiredis
import msgspec
import pytest
from canaries import CANARY, PASSWORD, SIGNING_KEY, TOKEN, VALUE, Listener
from replicas import KINDS, Pair, opened
from servers import SERVERS, Server, free_port, require

from unstale import Verify, errors, events, remembering, runners
from unstale.core.codecs import Codec
from unstale.core.entry import Draft
from unstale.core.keys import Names
from unstale.core.payloads import Encoded
from unstale.core.pending import Pending
from unstale.errors import DecodeError, EncodeError, StoreError, UnstaleError
from unstale.events import Event, LoadFailed, Queued, logging_hook
from unstale.outbox import QueueFile
from unstale.stores import commands
from unstale.stores.options import StoreOptions

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def in_a_request() -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    """Hears all, asyncio's debug mode included, and must not have heard a canary."""
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    with Listener() as made:
        yield made
    assert made.told == []


@dataclass(frozen=True)
class Place:
    """A server whose user "app" has the canary for a password, and another who may not do all."""

    server: Server

    @property
    def url(self) -> str:
        return self.server.url.replace("//", f"//app:{PASSWORD}@")

    def wrong(self) -> str:
        return self.server.url.replace("//", f"//app:{CANARY}-but-wrong@")


@pytest.fixture(scope="module", params=SERVERS)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server of each kind."""
    require(request.param)
    with Server(request.param, tmp_path_factory.mktemp("place")) as server:
        with server.client as client:
            client.execute_command("ACL", "SETUSER", "app", "on", f">{PASSWORD}", f">{TOKEN}", "~*", "+@all")
            client.execute_command("ACL", "SETUSER", "little", "on", f">{PASSWORD}", "~*", "+@all", "-set", "-evalsha")
        yield Place(server)


class Secretive:
    """A value whose text is the canary, which no codec carries."""

    def __repr__(self) -> str:
        return VALUE

    def __reduce__(self) -> Any:
        raise ValueError(VALUE)


class OwnCodec:
    """A codec of somebody's own, whose errors show the value."""

    number = 77

    def encode(self, value: Any) -> bytes:
        raise ValueError(f"cannot carry {value!r}")

    def decode(self, payload: memoryview) -> Any:
        raise ValueError(f"cannot read {bytes(payload)!r}")


class Provider:
    """Gives a token, or fails with it."""

    def __init__(self, *given: str) -> None:
        self.given = given

    def get_credentials(self) -> tuple[str, ...]:
        if not self.given:
            raise ValueError(TOKEN)
        return self.given


class Point(msgspec.Struct):
    """What a value is to be made into, and cannot."""

    x: int


Doing = Callable[[Any], Any]
"""What is done with a cache."""


def failing_loader() -> Any:
    """What a loader raises is its own: here it has the value in its text."""
    raise ValueError(VALUE)


UNENCODABLE: dict[str, tuple[dict[str, Any], Any]] = {
    "msgpack": ({}, Secretive()),
    "inside": ({}, {"a": [VALUE, {VALUE: Secretive()}]}),
    "a key that no JSON has": ({"codec": "json"}, {Secretive(): VALUE}),
    "no UTF-8": ({}, VALUE + "\ud800"),
    "no UTF-8 in JSON": ({"codec": "json"}, [VALUE + "\ud800"]),
    "no bytes": ({"codec": "raw"}, VALUE),
    "not to be pickled": ({"codec": "pickle", "signing_keys": SIGNING_KEY}, Secretive()),
    "inside a pickle": ({"codec": "pickle", "signing_keys": SIGNING_KEY}, {VALUE: [Secretive()]}),
    "a function": ({"codec": "pickle", "signing_keys": SIGNING_KEY}, lambda: VALUE),
    "a codec of one's own": ({"codec": OwnCodec()}, [VALUE]),
    "an int that is too large": ({}, [10**30, VALUE]),
}


def provoke(listener: Listener, expected: type[BaseException], do: Callable[[], Any]) -> None:
    """Do what raises, and hear it."""
    with pytest.raises(expected) as raised:
        do()
    listener.hear(raised.value)


@kinds
@pytest.mark.parametrize(("options", "value"), UNENCODABLE.values(), ids=UNENCODABLE)
def test_values_that_cannot_be_encoded(
    place: Place, listener: Listener, kind: str, options: dict[str, Any], value: Any
) -> None:
    """Neither EncodeError nor anything behind it shows a value, whatever the codec."""
    with opened(kind, place.url, **options) as cache:
        provoke(listener, EncodeError, lambda: cache.set("k", value))
        provoke(listener, EncodeError, lambda: cache.set_many({"k": value, "l": VALUE}))
        provoke(listener, EncodeError, lambda: cache.get_or_set("n", lambda: value))


MISTAKES: dict[str, Callable[[str], Any]] = {
    "a short signing key": lambda kind: opened(kind, "memory://", signing_keys=CANARY),
    "a list of short ones": lambda kind: opened(kind, "memory://", signing_keys=[SIGNING_KEY, CANARY]),
    "a signing key of another type": lambda kind: opened(kind, "memory://", signing_keys={SIGNING_KEY: 1}),
    "a password with a slash": lambda kind: opened(kind, f"redis://:{PASSWORD}/x@localhost:6379/0"),
    "a password with a hash": lambda kind: opened(kind, f"redis://:{PASSWORD}#x@localhost:6379/0"),
    "a password with a question mark": lambda kind: opened(kind, f"redis://:{PASSWORD}?x@localhost:6379/0"),
    "a password with a bracket": lambda kind: opened(kind, f"redis://:[{PASSWORD}@localhost:6379/0"),
    "a password that begins like a port": lambda kind: opened(kind, f"redis://:12/{PASSWORD}@localhost:6379/0"),
    "a password in a sentinel's URL": lambda kind: opened(kind, f"redis+sentinel://:{PASSWORD}/x@h:1/service"),
    "a password, and no service": lambda kind: opened(kind, f"redis+sentinel://:{PASSWORD}@h:1"),
    "a token in an option of the URL": lambda kind: opened(kind, f"redis://localhost?token={TOKEN}"),
    "a password in an option of the URL": lambda kind: opened(kind, f"redis://localhost?pasword={PASSWORD}"),
    "a password, and an unknown option": lambda kind: opened(kind, f"redis://:{PASSWORD}@localhost?nope=1"),
    "a password, and an unknown scheme": lambda kind: opened(kind, f"reddis://:{PASSWORD}@localhost"),
    "a password, and a bad port": lambda kind: opened(kind, f"redis://:{PASSWORD}@localhost:x"),
    "a password of another type": lambda kind: opened(kind, "redis://h", connection={"password": [PASSWORD]}),
    "a provider of another type": lambda kind: opened(kind, "redis://h", connection={"credential_provider": TOKEN}),
    "an unknown argument": lambda kind: opened(kind, "redis://h", connection={"pasword": PASSWORD}),
    "a password for nobody": lambda kind: opened(kind, "redis://h", sentinel={"password": PASSWORD}),
    "TLS that there is not": lambda kind: opened(kind, f"redis://:{PASSWORD}@h", connection={"ssl_password": PASSWORD}),
    "a time that is none": lambda kind: opened(kind, f"redis://:{PASSWORD}@h", timeout="soon"),
    "a wait that is none": lambda kind: opened(kind, f"redis://:{PASSWORD}@h", wait=-1),
    "an unknown option": lambda kind: opened(kind, f"redis://:{PASSWORD}@h", pasword=PASSWORD),
}


@kinds
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_mistakes_in_options(listener: Listener, kind: str, mistake: Callable[[str], Any]) -> None:
    """Whatever is wrong with a URL or an option, what is said of it holds no secret."""

    def make() -> None:
        with mistake(kind):
            pass

    provoke(listener, (UnstaleError, TypeError), make)  # type: ignore[arg-type]


class Echoing:
    """A server that answers every command with an error that repeats it, as some proxies do."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://app:{PASSWORD}@127.0.0.1:{self._listening.getsockname()[1]}/0"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            while True:
                connection, _ = self._listening.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()
        except OSError:
            return

    @staticmethod
    def _answer(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65536):
                said = data.decode(errors="replace").replace("\r\n", " ")
                connection.sendall(b"-ERR unknown command, with args beginning with: %b\r\n" % said.encode())

    def close(self) -> None:
        self._listening.close()


def one_of_each(  # noqa: C901 - flat: one thing after the other
    kind: str, place: Place, stack: ExitStack, directory: Path
) -> dict[str, Callable[[], Any]]:
    """For each class of error what raises it."""

    def made(url: str = place.url, **options: Any) -> Any:
        return stack.enter_context(opened(kind, url, **options))

    def is_closed() -> None:
        cache = made()
        cache.set("k", VALUE)
        if kind == "sync":
            cache.close()
        else:
            cache.runner.run(cache.cache.close())
        cache.set("k", VALUE)

    def broken() -> None:
        raised: list[Event] = []
        cache = made(f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0", on_event=raised.append)
        for _ in range(20):
            cache.get("k")
        raise next(one.error for one in raised if isinstance(getattr(one, "error", None), errors.BreakerOpenError))

    def no_primary() -> None:
        with Pair("valkey", directory) as pair, opened(kind, pair.replica.url) as cache:
            cache.set("k", VALUE)

    def full() -> None:
        with place.server.client as client:
            client.config_set("maxmemory", 1)
            try:
                made().set("k", VALUE)
            finally:
                client.config_set("maxmemory", 0)

    def late() -> None:
        cache = made(timeout=0.2)
        place.server.freeze()
        try:
            cache.set("k", VALUE)
        finally:
            place.server.thaw()

    def not_a_counter() -> None:
        cache = made()
        cache.set("k", VALUE)
        cache.incr("k")

    def exhausted() -> None:
        cache = made(max_connections=1, timeout=0.1)
        if kind == "async":
            raise errors.PoolExhaustedError  # an event loop has one connection
        cache.ping()
        taken = cache._store._pool.take()
        assert taken.permit
        cache.set("k", VALUE)

    def awaitable() -> Any:
        async def load() -> str:
            return VALUE

        if kind == "sync":
            return made().get_or_set("k2", load)
        return made().runner.run(made().cache.get_or_set("k2", lambda: VALUE))

    little = place.server.url.replace("//", f"//little:{PASSWORD}@")
    return {
        "UnstaleError": lambda: made(stamp_ttl=-1, signing_keys=SIGNING_KEY),
        "ConfigurationError": lambda: made(compression=3, signing_keys=SIGNING_KEY),
        "InvalidKeyError": lambda: made().set("\0", VALUE),
        "InvalidTagError": lambda: made().set("k", VALUE, tags=["*"]),
        "InvalidDurationError": lambda: made().set("k", VALUE, ttl=-1),
        "EncodeError": lambda: made().set("k", Secretive()),
        "DecodeError": decoded,
        "LoaderError": awaitable,
        "AbsentError": lambda: made().incr("nothing"),
        "NotACounterError": not_a_counter,
        "StoreError": lambda: made(url=f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0").set("k", VALUE),
        "StoreClosedError": is_closed,
        "StoreUnavailableError": lambda: made(url=f"redis://:{PASSWORD}@no.such.host.invalid/0").set("k", VALUE),
        "StoreTimeoutError": late,
        "StoreAuthError": lambda: made(url=place.wrong()).set("k", VALUE),
        "NotPrimaryError": no_primary,
        "PoolExhaustedError": exhausted,
        "BreakerOpenError": broken,
        "QueueError": lambda: queued(directory),
        "WrongNodeError": lambda: commands.checked(hiredis.ReplyError(f"MOVED 7 {CANARY}:7000")),
        "StoreFullError": full,
        "StoreRefusedError": lambda: made(url=little).set("k", VALUE),
        "NotReplicatedError": lambda: made(wait=1, timeout=1.0, wait_timeout=0.02).invalidate("t"),
    }


def queued(directory: Path) -> None:
    """A queue's file that has become a directory."""
    path = directory / "queue"
    queue = QueueFile(path)
    path.unlink(missing_ok=True)
    path.mkdir()
    queue.append(Pending("0" * 32, (b"test:s:{t}",), 1.0))


def decoded() -> None:
    """What is behind a miss: nothing of it reaches a reader."""
    from unstale.core import codecs

    payload = memoryview(msgspec.msgpack.encode({"x": VALUE}))
    codecs.decode(codecs.MSGPACK, payload, into=Point)


CLASSES = [name for name, _ in inspect.getmembers(errors, inspect.isclass)]


@kinds
@pytest.mark.parametrize("name", CLASSES)
def test_every_error(place: Place, listener: Listener, kind: str, name: str, tmp_path: Path) -> None:
    """Each class of error, raised by what raises it, with all that is behind it."""
    with ExitStack() as stack:
        do = one_of_each(kind, place, stack, tmp_path)[name]
        provoke(listener, getattr(errors, name), do)


CREDENTIALS: dict[str, dict[str, Any]] = {
    "a wrong password": {"password": f"{CANARY}-wrong"},
    "a provider's token": {"credential_provider": Provider("app", f"{CANARY}-wrong")},
    "a provider that fails": {"credential_provider": Provider()},
    "a provider of too much": {"credential_provider": Provider(TOKEN, TOKEN, TOKEN)},
}


@kinds
@pytest.mark.parametrize("connection", CREDENTIALS.values(), ids=CREDENTIALS)
def test_credentials_that_are_refused(place: Place, listener: Listener, kind: str, connection: Any) -> None:
    """Neither password nor token is said: not to the writer, nor in the log to the readers."""
    with opened(kind, place.server.url, connection=connection) as cache:
        assert cache.get("k", "default") == "default"
        assert cache.get_or_set("k", lambda: VALUE) == VALUE
        provoke(listener, StoreError, lambda: cache.set("k", VALUE))
        assert listener.look_at(cache) > 10
    assert listener.said != []


@kinds
def test_a_right_token(place: Place, listener: Listener, kind: str) -> None:
    """Nor is it where all goes well."""
    with opened(kind, place.server.url, connection={"credential_provider": Provider("app", TOKEN)}) as cache:
        cache.set("k", VALUE)
        assert cache.get("k") == VALUE
        assert listener.look_at(cache) > 10


@kinds
def test_a_server_that_repeats_what_it_was_sent(listener: Listener, kind: str) -> None:
    """Of an error's text nothing is said that could be an argument."""
    server = Echoing()
    try:
        with opened(kind, server.url) as cache:
            assert cache.get_or_set("k", lambda: VALUE) == VALUE
            provoke(listener, StoreError, lambda: cache.set("k", VALUE))
    finally:
        server.close()


FOREIGN = {"x": VALUE}
READ_BY: dict[str, dict[str, Any]] = {
    "another codec": {"codec": "json"},
    "with a key": {"signing_keys": SIGNING_KEY},
    "with another key": {"codec": "pickle", "signing_keys": f"{SIGNING_KEY}-another"},
}


def every_event(kind: str, url: str, tell: Any) -> None:
    """Make every event happen, on a cache that tells of it."""
    with opened(kind, url, on_event=tell, stale_ttl=30, lease=0.1) as cache:
        cache.set("k", VALUE, tags=["t"])
        cache.get("k")
        cache.get("nothing")
        cache.get("k", into=Point)
        for options in READ_BY.values():
            with opened(kind, url, on_event=tell, **options) as other:
                other.get("k", tags=["t"])
        cache.get_or_set("loaded", lambda: VALUE, tags=["t"])
        cache.invalidate("t", soft=True)
        assert cache.get_or_set("loaded", failing_loader, tags=["t"]) == VALUE
        with pytest.raises(ValueError, match=CANARY):
            cache.get_or_set("failing", failing_loader)
        cache.invalidate("t")
        cache.get("k")
        with pytest.raises(EncodeError):
            cache.get_or_set("n", Secretive)
        cache.get("remembered", tags=["t"])
        cache.invalidate("t")
        cache.set("remembered", VALUE, tags=["t"])
    with opened(kind, f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0", on_event=tell) as cache:
        cache.get_or_set("k", lambda: VALUE)


def away_and_back(kind: str, directory: Path, tell: Any) -> None:
    """What happens of a server that is away, and back."""
    server = Server("valkey", directory / "away", "--requirepass", PASSWORD)
    url = server.url.replace("//", f"//:{PASSWORD}@")
    with server, opened(kind, url, on_event=tell, queue=directory / "queue") as cache:
        cache.set("k", VALUE, tags=["t"])
        server.kill()
        assert isinstance(cache.invalidate("t"), Queued)
        for _ in range(20):
            cache.get("k")
        server.start()
        deadline = time.monotonic() + 60
        while cache.get_or_set("k", lambda: VALUE, tags=["t"]) != cache.get("k", tags=["t"]):
            assert time.monotonic() < deadline
            time.sleep(0.01)


ALL_EVENTS = set(events.Event.__args__)


class Told(list[Event]):
    """A hook that keeps what it is told, trips as well."""

    asks_trips = True
    __call__ = list.append


@kinds
def test_every_event(place: Place, listener: Listener, kind: str, tmp_path: Path) -> None:
    """Each event, in full, shows keys and tags."""
    told = Told()
    every_event(kind, place.url, told)
    more_events(kind, place.url, told)
    verified(kind, place.url, told)
    away_and_back(kind, tmp_path, told)
    assert {type(one) for one in told} == ALL_EVENTS
    for one in told:
        listener.hear(one)
        if not isinstance(one, LoadFailed):  # whose error is the loader's own
            listener.hear(getattr(one, "error", None))


def more_events(kind: str, url: str, tell: Any) -> None:
    """StaleHit, which takes another who loads."""
    with opened(kind, url, on_event=tell, stale_ttl=30) as cache:
        cache.get_or_set("shared", lambda: VALUE, tags=["s"])
        cache.invalidate("s", soft=True)

        def while_another_loads() -> str:
            with ThreadPoolExecutor() as pool:
                pool.submit(read).result()
            return VALUE

        def read() -> None:
            with opened(kind, url, on_event=tell, stale_ttl=30) as other:
                assert other.get_or_set("shared", lambda: "loaded", tags=["s"]) == VALUE

        cache.get_or_set("shared", while_another_loads, tags=["s"])


def verified(kind: str, url: str, tell: Any) -> None:
    """Verified and Lost: what is served is another value than its loader's."""
    with opened(kind, url, on_event=tell, verify=Verify(1.0, limit=0.2, share=1.0)) as cache:
        verification = (cache if kind == "sync" else cache.cache).verification
        cache.get_or_set("verified", lambda: VALUE, tags=["t"])
        deadline = time.monotonic() + 60
        while not verification().lost:
            assert cache.get_or_set("verified", lambda: f"{VALUE} anew", tags=["t"]) == VALUE
            assert time.monotonic() < deadline
            time.sleep(0.01)


@kinds
@pytest.mark.parametrize("hook", [logging_hook(), None], ids=["logged", "no hook"])
def test_the_log(place: Place, listener: Listener, kind: str, hook: Any, tmp_path: Path) -> None:
    """The same in the log, with our own hook and without any."""
    every_event(kind, place.url, hook)
    more_events(kind, place.url, hook)
    verified(kind, place.url, hook)
    away_and_back(kind, tmp_path, hook)
    assert any(line.startswith("unstale WARNING") for line in listener._handler.lines)


@kinds
def test_loads_that_fail_elsewhere(place: Place, listener: Listener, kind: str) -> None:
    """A load in the background fails with the value in its text: neither our log nor asyncio's shows it."""
    with ThreadPoolExecutor(1) as pool:
        runner: Any = pool.submit if kind == "sync" else runners.tasks()
        with opened(kind, place.url, stale_ttl=30, runner=runner) as cache:
            cache.get_or_set("k", lambda: VALUE, tags=["t"])
            cache.invalidate("t", soft=True)
            assert cache.get_or_set("k", failing_loader, tags=["t"]) == VALUE
            pool.submit(int).result()
            if kind == "async":
                cache.runner.run(asyncio.sleep(0.1))
    assert any("unstale WARNING" in line for line in listener._handler.lines)


@kinds
def test_objects_of_ours(place: Place, listener: Listener, kind: str) -> None:
    """Of all objects that can be reached from a cache which was used none shows a secret or a value."""
    signed: dict[str, Any] = {"codec": "pickle", "signing_keys": [SIGNING_KEY], "compression": "zlib"}
    with opened(kind, place.url, connection={"password": TOKEN}, fence="replay", **signed) as cache:
        cache.set_many({f"k{number}": VALUE * number for number in range(100)}, tags=["t"])
        cache.get_many([f"k{number}" for number in range(100)], tags=["t"])
        for _ in range(3):
            cache.get("k5", tags=["t"])
        cache.get_or_set("loaded", lambda: VALUE, tags=["t"])
        cache.invalidate("t")
        assert listener.look_at(cache) > 15
        listener.hear(cache, cache.inspect("k5"))


def test_values_on_their_way(listener: Listener) -> None:
    """What holds a value for the time of a call shows it in no repr: error reporters show variables."""
    tagset = Names("test").make_tagset("", ("t",))
    draft = Draft(b"k", tagset, 0, VALUE.encode(), 0.0, 1.0, 0.0, fenced=False)
    options = StoreOptions(connection={"password": PASSWORD}, sentinel={"password": PASSWORD})
    listener.hear(draft, Encoded(0, 0, VALUE.encode()), options)
    assert VALUE.encode() in pickle.dumps(draft)


def test_the_listener_hears(place: Place) -> None:
    """What is said anywhere is heard: else the tests above would show nothing."""
    import logging
    import warnings

    class Leaky(Exception):  # noqa: N818
        __module__ = "unstale.test"

    def leaky() -> None:
        raise Leaky from ValueError(VALUE)

    with Listener() as listener:
        logging.getLogger("redis.anything").debug("%s", VALUE)
        warnings.warn(VALUE, stacklevel=1)
        try:
            leaky()
        except Leaky as error:
            listener.hear(error)
            logging.getLogger("unstale").debug("failed", exc_info=True)
        with opened("sync", place.url) as cache:
            cache._space.hints[b"k", cache._tagset("", ())] = Leaky(VALUE)
            listener.look_at(cache)
        thread = threading.Thread(target=failing_loader)
        thread.start()
        thread.join()
    assert len(listener.told) > 8
    assert isinstance(OwnCodec(), Codec)
    assert issubclass(DecodeError, UnstaleError)
