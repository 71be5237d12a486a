"""From a URL to the servers behind it: one server, those of a service under sentinels, or every node of a cluster.

URLs, credentials and TLS are read as a cache reads them (`stores.connect`), so what works there works here. Nothing is
looked at yet but who else there is. A server that is down stays on the list: that it is down is a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.retry import Retry

from unstale.errors import ConfigurationError, UnstaleError
from unstale.stores import cluster_url, sentinel_url
from unstale.stores.addresses import shown
from unstale.stores.cluster import Address
from unstale.stores.connect import understood
from unstale.tools.doctor.errors import DoctorError
from unstale.tools.doctor.gate import Gate

CONNECT_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 10.0
"""How long an answer may take: the engine may be busy with one command after another."""
SCHEMES: Final = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")
_LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})


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


def connect(place: Place, gate: Gate, answer_seconds: float = ANSWER_SECONDS) -> redis.Redis:
    """A client of a server, not yet connected, whose commands all go through the gate, and which tries each once."""
    fixed = {
        "socket_timeout": answer_seconds,
        "socket_connect_timeout": CONNECT_SECONDS,
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "command_packer": gate,
    }
    pool = redis.ConnectionPool(connection_class=place.kind, **{**place.arguments, **fixed})
    return redis.Redis(connection_pool=pool)


def places(url: str, gate: Gate, sentinel_password: str | None = None) -> list[Place]:
    """The servers behind a URL, those that are down included.

    Args:
        url: redis://, rediss://, unix://, or one of a service (redis+sentinel://) or a cluster (redis+cluster://).
        gate: through which sentinels and nodes are asked for the others.
        sentinel_password: of the sentinels, where they have one; that in the URL is the servers'.

    Raises:
        ConfigurationError: the URL makes no sense.
        DoctorError: no sentinel knows the service, or no node of the cluster answers.
    """
    scheme = url.partition("://")[0]
    if "://" not in url or scheme not in SCHEMES:
        known = ", ".join(f"{one}://" for one in SCHEMES)
        raise ConfigurationError(
            f"The server's URL must begin with one of {known}; for example redis://localhost:6379/0."
        )
    if scheme in sentinel_url.SCHEMES:
        return _of_service(url, gate, sentinel_password)
    if scheme in cluster_url.SCHEMES:
        return _of_cluster(url, gate)
    kind, arguments = understood(url, {})
    name = arguments.get("path") or _named((arguments.get("host", "localhost"), arguments.get("port", 6379)))
    return [Place(str(name), kind, arguments)]


def _of_service(url: str, gate: Gate, password: str | None) -> list[Place]:
    """The primary first, then its replicas, as the first sentinel that knows the service has them."""
    place = sentinel_url.place_of(url)
    kind, arguments = understood(place.url, {})
    refused = []
    for sentinel in place.sentinels:
        asked = Place(_named(sentinel), redis.Connection, {**_at(sentinel), "password": password})
        try:
            with connect(asked, gate, CONNECT_SECONDS) as client:
                found = client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", place.service)
                if found is None:
                    refused.append(f"{asked.name} does not know it")
                    continue
                replicas = client.execute_command("SENTINEL REPLICAS", place.service)
        except redis.RedisError as error:
            refused.append(f"{asked.name}: {error}")
            continue
        addresses = [(_text(found[0]), int(found[1])), *(_of_replica(one) for one in replicas)]
        return [_beside(address, kind, arguments) for address in addresses]
    raise DoctorError(f"No sentinel names a primary of {place.service}: {'; '.join(refused)}.")


def _of_cluster(url: str, gate: Gate) -> list[Place]:
    """Every node that the first seed knows which answers; also those that it takes for failed."""
    place = cluster_url.place_of(url)
    kind, given = understood(place.url, {})
    arguments = cluster_url.arguments_of_a_node(given)
    refused = []
    for seed in place.seeds:
        asked = _beside(seed, kind, arguments)
        try:
            with connect(asked, gate, CONNECT_SECONDS) as client:
                nodes: Mapping[str, Any] = client.execute_command("CLUSTER NODES")
        except redis.RedisError as error:
            refused.append(f"{asked.name}: {error}")
            continue
        addresses = [_of_node(address, seed) for address, node in nodes.items() if "noaddr" not in node["flags"]]
        return [_beside(address, kind, arguments, in_cluster=True) for address in sorted(addresses)]
    raise DoctorError(f"No node of the cluster answers: {'; '.join(refused)}.")


def _of_node(address: str, seed: Address) -> Address:
    """Where a node of CLUSTER NODES is. One that does not know its own address is where it was asked."""
    host, _, port = address.rpartition(":")
    return host or seed[0], int(port)


def _of_replica(told: Any) -> Address:
    fields = told if isinstance(told, Mapping) else dict(zip(told[::2], told[1::2], strict=True))
    known = {_text(name): value for name, value in fields.items()}
    return _text(known["ip"]), int(known["port"])


def _at(address: Address) -> dict[str, Any]:
    return {"host": address[0], "port": address[1]}


def _beside(address: Address, kind: type[Any], arguments: Mapping[str, Any], *, in_cluster: bool = False) -> Place:
    """A server at another address, reached in the same way."""
    return Place(_named(address), kind, {**arguments, **_at(address)}, in_cluster)


def _named(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _text(told: Any) -> str:
    return told.decode() if isinstance(told, bytes) else str(told)


def target_of(url: str) -> str:
    """The URL as a report may show it: without user, password and options."""
    return unquote(shown(url)) if urlsplit(url).scheme == "unix" else shown(url)


_WRONG: Final[tuple[tuple[type[Exception], str], ...]] = (
    (UnstaleError, "{error}"),
    (redis.AuthenticationError, "It wants another user or password: redis://user:password@host:6379/0."),
    (redis.exceptions.BusyLoadingError, "It is still loading its data. Try again later."),
    (redis.exceptions.NoPermissionError, "It does not let this user do that: {error}"),
    (redis.TimeoutError, "It did not answer in time. Look at the network between; a busy engine answers late."),
    (redis.ConnectionError, "It cannot be reached, or has ended: {error}"),
    (redis.exceptions.InvalidResponse, "What answers there is no Redis and no Valkey."),
)
"""What an exception means; of several that fit, the first counts."""


def what_is_wrong(error: Exception) -> str:
    """Why a server could not be looked at, in a sentence and without a secret."""
    found = next((words for kind, words in _WRONG if isinstance(error, kind)), "It answered with an error: {error}")
    return found.format(error=error)
