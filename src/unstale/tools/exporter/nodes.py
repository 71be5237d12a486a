"""From a URL to the servers behind it: one, a service's under sentinels, or every node of a cluster.

URLs, credentials and TLS are read as a cache reads them (`stores.connect`), so what works there works here. Who else
there is may change, so it is asked each time; a node that is not named any more, or cannot be asked for, is remembered
for a while, so that its being away shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Final, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from unstale.errors import ConfigurationError
from unstale.stores import cluster_url, sentinel_url
from unstale.stores.connect import understood

Address: TypeAlias = tuple[str, int]
Client: TypeAlias = "redis.Redis"

REMEMBER_SECONDS: Final = 900.0
"""How long a node that is not named any more is asked all the same."""
NO_ANSWER: Final = (redis.RedisError, ValueError, TypeError, LookupError)
"""Who is asked for the others may be away, not permit it, or be no such server: then the next one is asked."""
SCHEMES: Final = ("redis", "rediss", "unix", *sentinel_url.SCHEMES, *cluster_url.SCHEMES)


class Nodes:
    """The servers behind a URL, each with a client of one connection at a time. One thread uses it.

    Attributes:
        service: what sentinels call it; empty where a URL names servers.
    """

    def __init__(self, url: str, timeout: float) -> None:
        """Read the URL; nothing is asked yet.

        Args:
            url: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster:// and their TLS kinds.
            timeout: seconds for connecting, and again for each answer.

        Raises:
            ConfigurationError: the URL makes no sense.
        """
        self.service = ""
        self._timeout = timeout
        self._seen: dict[Address, float] = {}
        self._clients: dict[str, Client] = {}
        self._find: Callable[[], list[Address]] = list
        self._answered: Address | None = None
        scheme = url.partition("://")[0]
        if "://" not in url or scheme not in SCHEMES:
            known = ", ".join(f"{one}://" for one in SCHEMES)
            raise ConfigurationError(f"The server's URL must begin with one of {known}.")
        if scheme in sentinel_url.SCHEMES:
            asked = sentinel_url.place_of(url)
            self.service = asked.service
            self._kind, self._arguments = understood(asked.url, {})
            self._find = lambda: self._of_service(asked)
        elif scheme in cluster_url.SCHEMES:
            place = cluster_url.place_of(url)
            self._kind, given = understood(place.url, {})
            self._arguments = cluster_url.arguments_of_a_node(given)
            self._seen = dict.fromkeys(place.seeds, 0.0)
            self._find = self._of_cluster
        else:
            self._kind, self._arguments = understood(url, {})
            own = self._arguments.get("path") or _shown(
                (self._arguments.get("host", "localhost"), self._arguments.get("port", 6379))
            )
            self._clients[str(own)] = self._client(self._arguments)

    def named(self, now: float) -> dict[str, Client]:
        """A client of each server, by what it is called.

        Args:
            now: a time that only grows.
        """
        for address in self._find():
            self._seen[address] = now
        for address, seen_at in list(self._seen.items()):
            if seen_at and now - seen_at > REMEMBER_SECONDS:
                del self._seen[address]
                self._clients.pop(_shown(address)).close()
        for address in self._seen:
            self._client_at(address)
        return dict(self._clients)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def _client_at(self, address: Address) -> Client:
        name = _shown(address)
        if name not in self._clients:
            self._clients[name] = self._client({**self._arguments, "host": address[0], "port": address[1]})
        return self._clients[name]

    def _client(self, arguments: Mapping[str, Any]) -> Client:
        limits = {"socket_timeout": self._timeout, "socket_connect_timeout": self._timeout}
        again = Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,))  # once, where it was lost
        fixed = {"protocol": 2, "decode_responses": True, "retry": again}
        pool = redis.ConnectionPool(connection_class=self._kind, **{**arguments, **limits, **fixed})
        return redis.Redis(connection_pool=pool)

    def _of_service(self, place: sentinel_url.Place) -> list[Address]:
        """The primary and the replicas, as the first sentinel that knows the service names them."""
        until = monotonic() + self._timeout
        limits: Any = {"socket_timeout": self._timeout, "socket_connect_timeout": self._timeout}
        limits |= {"protocol": 2, "decode_responses": True, "retry": Retry(NoBackoff(), 0)}
        for host, port in place.sentinels:
            if monotonic() > until:
                break
            with suppress(*NO_ANSWER), redis.Redis(host, port, **limits) as sentinel:
                primary: Any = sentinel.sentinel_get_master_addr_by_name(place.service)
                if primary:
                    replicas: Any = sentinel.sentinel_slaves(place.service)
                    return [(primary[0], int(primary[1])), *((one["ip"], int(one["port"])) for one in replicas)]
        return []

    def _of_cluster(self) -> list[Address]:
        """Every node that has slots or copies them, as the first one that answers says: the last one that did first."""
        until = monotonic() + self._timeout
        for address in sorted(self._seen, key=lambda one: one != self._answered):
            if monotonic() > until:
                break
            with suppress(*NO_ANSWER):
                slots = self._client_at(address).execute_command("CLUSTER SLOTS")  # type: ignore[no-untyped-call]
                found = [(node[0] or address[0], int(node[1])) for part in slots for node in part[2:]]
                self._answered = address
                return found
        return []


def _shown(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
