"""From a URL to the servers behind it: one server, those of a service under sentinels, or every node of a cluster.

URLs, credentials and TLS are read as a cache reads them (`stores.connect`), so what works there works here. Nothing is
asked but who else there is. A server that is down stays on the list: that it is down is for others to find.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final, TypeAlias
from urllib.parse import unquote

import redis
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.retry import Retry

from unstale.errors import ConfigurationError, UnstaleError
from unstale.stores import cluster_url, sentinel_url
from unstale.stores.addresses import Address, shown
from unstale.stores.cluster import addresses_of, named
from unstale.stores.connect import understood
from unstale.tools.wording import printable

SCHEMES: Final = ("redis", "rediss", "unix", *sentinel_url.SCHEMES, *cluster_url.SCHEMES)
NONSENSE: Final = (ValueError, TypeError, LookupError, AttributeError)
"""What redis-py raises while it reads an answer that no Redis and no Valkey gives."""
NO_ANSWER: Final = (redis.RedisError, *NONSENSE)
"""Who is asked for the others may be away, not permit it, or be no such server: then the next one is asked."""
STOP_SECONDS: Final = 1.0
"""What an answer may take that is waited for when all is to end."""
_LOOK_SECONDS: Final = 0.1
"""How often it is seen whether it is time to hang up."""
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_NOT_THERE: Final = frozenset({"noaddr", "handshake"})
"""In CLUSTER NODES, of one whose address is not known, or which is not known to be of the cluster."""


class NobodyTellsError(UnstaleError):
    """Nobody says which servers there are. The message says who was asked, and what came of it."""


@dataclass(frozen=True, slots=True)
class Place:
    """A server, and how to reach it."""

    name: str
    """As a person sees it: host and port, or a socket's path."""
    kind: type[Any] = field(repr=False)
    """redis-py's class of connections."""
    arguments: Mapping[str, Any] = field(repr=False)
    """Of its connections; a password may be among them."""
    in_cluster: bool = False
    """Whether it was found as one of a cluster."""

    @property
    def is_local(self) -> bool:
        """Whether what is said to it leaves this machine by no network."""
        return "path" in self.arguments or self.arguments.get("host") in _LOCAL

    @property
    def has_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return issubclass(self.kind, SSLConnection)

    @property
    def database(self) -> int:
        """Its number."""
        return int(self.arguments.get("db") or 0)

    def whole(self) -> Place:
        """The server itself: a connection that selects no database, for which a user may lack the right."""
        return replace(self, arguments={**self.arguments, "db": 0})


@dataclass(frozen=True, slots=True)
class Manner:
    """How servers are talked to."""

    packer: Any
    """Of all commands, as redis-py takes one; None: redis-py's own."""
    connect_seconds: float
    answer_seconds: float
    """How long an answer may take."""
    attempts: int = 1
    """At a command whose connection is lost."""


def connect(place: Place, manner: Manner) -> redis.Redis:
    """A client of a server, not yet connected."""
    fixed = {
        "socket_timeout": manner.answer_seconds,
        "socket_connect_timeout": manner.connect_seconds,
        "protocol": 2,
        "retry": Retry(NoBackoff(), manner.attempts - 1, supported_errors=(redis.ConnectionError,)),
        "command_packer": manner.packer,
    }
    pool = redis.ConnectionPool(connection_class=place.kind, **{**place.arguments, **fixed})
    return redis.Redis(connection_pool=pool)


def hang_up(client: redis.Redis) -> None:
    """Cut a client's connections, from any thread. Whoever waits for an answer by them gets a redis.ConnectionError.

    A client connects again when it is used again: see `hung_up_at` for one that is not to.
    """
    client.connection_pool.disconnect(inuse_connections=True)


@contextmanager
def hung_up_at(client: redis.Redis, until: float, stop: threading.Event | None = None) -> Iterator[threading.Event]:
    """Hang up on a server that is not done in time, whatever it sends, and again whenever it is asked after that.

    A connection's own time limit is for each read: who sends a byte now and then is never late by it.

    Args:
        client: asks the server.
        until: second of the monotonic clock.
        stop: set from outside: STOP_SECONDS later time is over, too.

    Yields:
        Set when it has been hung up on.
    """
    done, cut = threading.Event(), threading.Event()

    def watch() -> None:
        last = until
        while not done.wait(_LOOK_SECONDS):
            now = monotonic()
            if stop is not None and stop.is_set():
                last = min(last, now + STOP_SECONDS)
            if now >= last:
                cut.set()
                hang_up(client)

    watcher = threading.Thread(target=watch, name="hang-up", daemon=True)
    watcher.start()
    try:
        yield cut
    finally:
        done.set()
        watcher.join()


_Ask: TypeAlias = Callable[[redis.Redis, Address], list[Address]]


class Origin:
    """A URL whose servers may be looked up again and again. One thread uses it.

    Attributes:
        service: what sentinels call it; empty where the URL names servers.
        seeds: the nodes of a cluster that the URL names; none for other URLs.
    """

    def __init__(
        self, url: str, manner: Manner, sentinel_password: str | None = None, patience: float = math.inf
    ) -> None:
        """Read the URL; nothing is asked yet.

        Args:
            url: redis://, rediss://, unix://, or one of a service (redis+sentinel://) or a cluster (redis+cluster://).
            manner: how sentinels and nodes are asked for the others.
            sentinel_password: of the sentinels, where they have one; that in the URL is the servers'.
            patience: seconds after which, of those who could be asked for the others, no further one is.

        Raises:
            ConfigurationError: the URL makes no sense.
        """
        scheme = url.partition("://")[0]
        if "://" not in url or scheme not in SCHEMES:
            known = ", ".join(f"{one}://" for one in SCHEMES)
            raise ConfigurationError(
                f"The server's URL must begin with one of {known}; for example redis://localhost:6379/0."
            )
        self.service = ""
        self.seeds: list[Place] = []
        self._arguments: Mapping[str, Any]
        self._manner = manner
        self._sentinel_password = sentinel_password
        self._patience = patience
        self._first: tuple[Address, ...] = ()
        self._ask: _Ask | None = None
        self._in_cluster = scheme in cluster_url.SCHEMES
        if scheme in sentinel_url.SCHEMES:
            service = sentinel_url.place_of(url)
            self.service, self._first, self._ask = service.service, service.sentinels, self._of_service
            self._kind, self._arguments = understood(service.url, {})
        elif self._in_cluster:
            cluster = cluster_url.place_of(url)
            self._first, self._ask = cluster.seeds, self._of_cluster
            self._kind, given = understood(cluster.url, {})
            self._arguments = cluster_url.arguments_of_a_node(given)
            self.seeds = [self._at(address) for address in self._first]
        else:
            self._kind, self._arguments = understood(url, {})
        self._asked = deque(self._first)

    def places(self) -> list[Place]:
        """The servers, those that are down included; of a service the primary first.

        Who answered is asked first the next time, who did not last. Of a cluster each node that is known may be asked.

        Raises:
            NobodyTellsError: no sentinel knows the service, or no node of the cluster answers.
        """
        if self._ask is None:
            host = (self._arguments.get("host", "localhost"), self._arguments.get("port", 6379))
            return [Place(str(self._arguments.get("path") or named(host)), self._kind, self._arguments)]
        until = monotonic() + self._patience
        refused: list[str] = []
        for address in list(self._asked):
            if refused and monotonic() > until:
                break
            try:
                found = self._told(self._ask, address)
            except NO_ANSWER as error:
                hint = tls_hint(error, self._at(address)) if self._in_cluster else ""
                refused.append(f"{named(address)}: {printable(str(error))}{hint}")
                self._asked.rotate(-1)
                continue
            if self._in_cluster:
                self._asked = deque(dict.fromkeys([address, *self._first, *found]))
            return [self._at(one) for one in found]
        nobody = f"No sentinel names a primary of {self.service}" if self.service else "No node of the cluster answers"
        raise NobodyTellsError(f"{nobody}: {'; '.join(refused)}.")

    def _told(self, ask: _Ask, address: Address) -> list[Address]:
        """What one of those who can be asked tells, within the time for connecting and for an answer."""
        until = monotonic() + self._manner.connect_seconds + self._manner.answer_seconds
        with connect(self._asked_at(address), self._manner) as client, hung_up_at(client, until) as late:
            try:
                return ask(client, address)
            except NO_ANSWER as error:
                if late.is_set():
                    raise redis.TimeoutError("It did not answer in time") from error
                raise

    def _at(self, address: Address) -> Place:
        name = printable(named(address))  # servers tell it
        return Place(name, self._kind, {**self._arguments, **_host(address)}, self._in_cluster)

    def _asked_at(self, address: Address) -> Place:
        """Who is asked for the others: a node as any other, or a sentinel, which has a password of its own."""
        if self._in_cluster:
            return self._at(address)
        return Place(named(address), redis.Connection, {**_host(address), "password": self._sentinel_password})

    def _of_service(self, client: redis.Redis, _: Address) -> list[Address]:
        """The primary first, then its replicas."""
        found = _answer(client, "SENTINEL GET-MASTER-ADDR-BY-NAME", self.service)
        if found is None:
            raise LookupError("It does not know the service")
        replicas = _answer(client, "SENTINEL REPLICAS", self.service)
        return [(_text(found[0]), int(found[1])), *(_of_replica(one) for one in replicas)]

    def _of_cluster(self, client: redis.Redis, asked: Address) -> list[Address]:
        """Every node, also those that have failed, each by the name that a cache would call it by.

        CLUSTER SLOTS has the endpoints that the cluster prefers, which with TLS may have to be host names; but only of
        nodes that serve. The others are in CLUSTER NODES.
        """
        serving = addresses_of(_answer(client, "CLUSTER SLOTS"), asked)
        nodes: Mapping[str, Mapping[str, Any]] = _answer(client, "CLUSTER NODES")
        by_host_name = any(serving.get(one["node_id"], ("",))[0] == one["hostname"] != "" for one in nodes.values())
        found = set()
        for address, one in nodes.items():
            if not _NOT_THERE & set(one["flags"].split(",")):
                host, _, port = address.rpartition(":")
                host = (by_host_name and one["hostname"]) or host or asked[0]  # one may not know its own address
                found.add(serving.get(one["node_id"], (host, int(port))))
        return sorted(found)


def _answer(client: redis.Redis, *command: object) -> Any:
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def _of_replica(told: Any) -> Address:
    fields = told if isinstance(told, Mapping) else dict(zip(told[::2], told[1::2], strict=True))
    known = {_text(name): value for name, value in fields.items()}
    return _text(known["ip"]), int(known["port"])


def _host(address: Address) -> dict[str, Any]:
    return {"host": address[0], "port": address[1]}


def _text(told: Any) -> str:
    return told.decode() if isinstance(told, bytes) else str(told)


def target_of(url: str) -> str:
    """The URL as a report may show it: without user, password and options."""
    return printable(unquote(shown(url)) if url.startswith("unix:") else shown(url))


_HUNG_UP: Final = ("Error while reading", "Error while writing", "closed by server")
"""redis-py's words for a connection that the server ends in the place of an answer."""


def tls_hint(error: Exception, place: Place) -> str:
    """What may be wrong with a server that has never answered: TLS to a port without it, or none to one with it."""
    said = str(error)
    if place.has_tls:
        mute = isinstance(error, redis.TimeoutError) or ("[SSL" in said and "CERTIFICATE" not in said)
        return " Does its port speak TLS? If not, the URL begins with redis, not rediss." if mute else ""
    if isinstance(error, redis.exceptions.InvalidResponse) or any(words in said for words in _HUNG_UP):
        return " Does its port want TLS? Then the URL begins with rediss, not redis."
    return ""


NO_SERVER: Final = "What answers there is no Redis and no Valkey."
_WRONG: Final[tuple[tuple[type[Exception], str], ...]] = (
    (UnstaleError, "{error}"),
    (redis.AuthenticationError, "It wants another user or password: redis://user:password@host:6379/0."),
    (redis.exceptions.BusyLoadingError, "It is still loading its data. Try again later."),
    (redis.exceptions.NoPermissionError, "It does not let this user do that: {error}"),
    (redis.TimeoutError, "It did not answer in time. Look at the network between; a busy engine answers late."),
    (redis.ConnectionError, "It cannot be reached, or has ended: {error}"),
    (redis.exceptions.InvalidResponse, NO_SERVER),
    *((kind, NO_SERVER) for kind in NONSENSE),
)
"""What an exception means; of several that fit, the first counts."""


def what_is_wrong(error: Exception) -> str:
    """Why a server could not be looked at, in a sentence and without a secret. What a server said in it is escaped."""
    found = next((words for kind, words in _WRONG if isinstance(error, kind)), "It answered with an error: {error}")
    return found.format(error=printable(str(error)))
