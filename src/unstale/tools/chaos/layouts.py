"""How a world's servers stand to each other: one, a primary with its replica, or the user's own, which are only used.

Sentinels are in `sentinels`, clusters in `clusters`. A layout knows who is primary, mends what a fault has broken, and
ends what it has started.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import redis
from redis.sentinel import Sentinel as SentinelClient

from unstale.stores import cluster_url, sentinel_url
from unstale.stores.addresses import Address
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.servers import ANSWER_SECONDS, HOST, Server, until

LIMITS: Final = (("maxmemory", "0"), ("maxmemory-policy", "noeviction"))
"""What a server of the run's own has, when nothing is wrong."""
PAUSE_MILLISECONDS: Final = 60_000
"""For which writes are held back at most, while servers change roles."""


class Layout(Protocol):
    """Servers of any kind."""

    @property
    def url(self) -> str:
        """What subjects connect to, where no proxy is before it."""

    def primaries(self) -> list[str]:
        """The URLs of all servers that hold the run's names and take writes."""

    def heal(self) -> None:
        """Mend whatever is broken, and wait until all is well. Nothing happens where nothing is."""

    def close(self) -> None:
        """End what was started."""


class Own:
    """Servers that the run has started, with which it may do anything.

    Attributes:
        servers: all, whatever they are now.
    """

    def __init__(self, servers: list[Server]) -> None:
        """Start them. If that fails, none is left."""
        self.servers = servers
        try:
            self.heal()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """What subjects connect to, where no proxy is before it."""
        return self.servers[0].url

    def leading(self) -> list[Server]:
        """The primaries among them."""
        return self.servers

    def primaries(self) -> list[str]:
        """Their URLs."""
        return [server.url for server in self.leading()]

    def heal(self) -> None:
        """See that all run, without limits."""
        for server in self.servers:
            revive(server)

    def close(self) -> None:
        """End all."""
        for server in self.servers:
            server.kill()


class One(Own):
    """A single server."""

    def __init__(self, program: str, directory: Path) -> None:
        """Start it."""
        super().__init__([Server(program, directory / "server")])


class Pair(Own):
    """A primary and its replica. Whoever connects needs something before them that leads to the primary of the time."""

    def __init__(self, program: str, directory: Path) -> None:
        """Start both."""
        self._leads = 0
        super().__init__([Server(program, directory / name) for name in ("first", "second")])

    @property
    def primary(self) -> Server:
        """The one that takes writes."""
        return self.servers[self._leads]

    @property
    def replica(self) -> Server:
        """The other."""
        return self.servers[1 - self._leads]

    @property
    def url(self) -> str:
        """The primary's."""
        return self.primary.url

    def leading(self) -> list[Server]:
        """The primary."""
        return [self.primary]

    def exchange(self) -> None:
        """From now on the other one counts as the primary. Done after the servers themselves have been told."""
        self._leads = 1 - self._leads

    def hand_over(self) -> None:
        """Have the servers change roles as an operator does: never with two primaries, and without the loss of a write.

        The old one keeps its clients, and hears nothing of the new one until `heal`. FAILOVER would do the same, but
        Redis 7.0 has been seen to wait for its replica for ever.
        """
        old, new = self.primary, self.replica
        with old.client() as client:
            client.client_pause(PAUSE_MILLISECONDS, all=False)
            try:
                until(lambda: lag_of(old, new) == 0, "a replica that has everything")
                refuse_primary(old)
                old.ask("REPLICAOF", HOST, new.port)
            finally:
                client.client_unpause()
        new.ask("REPLICAOF", "NO", "ONE")
        self.exchange()

    def heal(self) -> None:
        """See that both run, without limits, and that the replica has all that the primary has."""
        super().heal()
        for server in self.servers:
            reconnect(server)
        primary, replica = self.primary, self.replica
        if role_of(primary) != "master":
            primary.ask("REPLICAOF", "NO", "ONE")
        state = replica.info("replication")
        if (state["role"], state.get("master_port")) != ("slave", primary.port):
            replica.ask("REPLICAOF", HOST, primary.port)
        until(lambda: follows(replica) and is_followed(primary), "a replica that follows its primary")


class Users:
    """The user's own: nothing is started, and all that is not the run's stays untouched."""

    def __init__(self, url: str) -> None:
        """Take a URL of any of unstale's schemes that name servers."""
        self._url = url
        self._scheme = urlsplit(url).scheme
        if self._scheme not in {"redis", "rediss", "unix", *sentinel_url.SCHEMES, *cluster_url.SCHEMES}:
            raise ChaosError(f"{self._scheme}:// is no server that chaos can be tried on.")

    @property
    def url(self) -> str:
        """As it was given."""
        return self._url

    def primaries(self) -> list[str]:
        """Asked of the sentinels, or of the cluster, where there is one."""
        if self._scheme in sentinel_url.SCHEMES:
            service = sentinel_url.place_of(self._url)
            asking = SentinelClient(list(service.sentinels), socket_timeout=ANSWER_SECONDS)  # type: ignore[no-untyped-call]
            host, port = asking.discover_master(service.service)  # type: ignore[no-untyped-call]
            return [service.url.replace("primary/", f"{host}:{port}/", 1)]
        if self._scheme in cluster_url.SCHEMES:
            cluster = cluster_url.place_of(self._url)
            nodes = _primaries_by(cluster)
            return [cluster.url.replace("node/", f"{host}:{port}/", 1) for host, port in nodes]
        return [self._url]

    def heal(self) -> None:
        """There is nothing to mend: the faults that are done to a user's server leave it as it is."""

    def close(self) -> None:
        """It runs on."""


def _primaries_by(place: cluster_url.Place) -> list[Address]:
    """The primaries of a cluster, as the first of its nodes that answers has them."""
    seeds = [redis.cluster.ClusterNode(*seed) for seed in place.seeds]  # type: ignore[no-untyped-call]
    url = place.url.replace("node/", f"{seeds[0].host}:{seeds[0].port}/", 1)
    try:
        with redis.RedisCluster(startup_nodes=seeds, url=url) as cluster:
            return [(node.host, int(node.port)) for node in cluster.get_primaries()]
    except redis.exceptions.RedisClusterException as error:
        raise ChaosError(f"None of the nodes knows its cluster. {error}") from error


def revive(server: Server) -> None:
    """See that a server runs, is not frozen or paused, and has no limit of memory."""
    server.thaw()
    server.start()
    with server.client() as client:
        client.client_unpause()
        for name, value in LIMITS:
            client.config_set(name, value)


def sever(primary: Server, replica: Server) -> None:
    """Let a replica have nothing of its primary any more. It keeps what it has.

    A replica that was merely stopped would find the rest in its socket's buffer.
    """
    refuse_primary(replica)
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    until(lambda: not follows(replica), "a replica without its primary")


def refuse_primary(replica: Server) -> None:
    """Have a replica fail whenever it connects to a primary from now on, whoever that is.

    By credentials that are wrong: after those it tries again each second. Where the primary refuses PSYNC and SYNC
    instead, Redis 7.0 tries again a thousand times a second.
    """
    replica.ask("CONFIG", "SET", "masteruser", "nobody", "masterauth", "wrong")


def reconnect(replica: Server) -> None:
    """Let it follow a primary again."""
    replica.ask("CONFIG", "SET", "masteruser", "", "masterauth", "")


def lag_of(primary: Server, replica: Server) -> int:
    """Bytes of writes that a replica has not heard of."""
    known = replica.info("replication")["slave_repl_offset"]
    return int(primary.info("replication")["master_repl_offset"]) - int(known)


def role_of(server: Server) -> str:
    """What a server says it is: "master" or "slave"."""
    return str(server.info("replication")["role"])


def follows(replica: Server) -> bool:
    """Whether a replica has its primary's data, and gets what comes."""
    return bool(replica.info("replication").get("master_link_status") == "up")


def is_followed(primary: Server) -> bool:
    """Whether a primary knows of a replica that it may hand over to: it learns later than the replica that it is up."""
    replica = primary.info("replication").get("slave0", {})
    return bool(replica.get("state") == "online")
