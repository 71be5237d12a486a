"""Real clusters for the tests: three primaries with a replica each, on free ports of 127.0.0.1, always ended.

A node is a `Server`; what a cluster has to say is asked of its nodes themselves. No client of a cluster is used here:
it would follow redirects that a test is about.
"""

from __future__ import annotations

import itertools
import random
import socket
import time
from binascii import crc_hqx
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import redis
from servers import Server

SLOTS: Final = 16384
SHARDS: Final = 3
NODE_TIMEOUT_MS: Final = 2000
"""After which a node that is silent counts as failed. Shorter ones fail over where a machine is merely busy."""
LONGEST_SECONDS: Final = 60.0
_PORTS: Final = range(15000, 32000)
"""Below those that outgoing connections take: a node that was killed must find its port free again."""
_OPTIONS: Final = (
    *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
    *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
    *("--cluster-replica-validity-factor", "0"),  # a replica may be promoted however far it lags
    *("--cluster-allow-replica-migration", "no"),
    *("--repl-diskless-sync-delay", "0"),
)

_OWN_COMMANDS: Final = frozenset(
    {"client|setinfo", "config|resetstat", "hello", "info", "ping", "psync", "replconf", "select"}
)
"""What the tests and the replicas send, and what a store asks to prove a server's role."""


def free_ports(count: int) -> list[int]:
    """Ports that are free now, all different."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            sock = socket.socket()
            try:
                sock.bind(("127.0.0.1", random.choice(_PORTS)))
            except OSError:
                sock.close()
            else:
                held.append(sock)
        return [sock.getsockname()[1] for sock in held]
    finally:
        for sock in held:
            sock.close()


def slot_of(name: bytes) -> int:
    """A name's slot, as the cluster specification has it."""
    start = name.find(b"{")
    end = name.find(b"}", start + 1)
    hashed = name[start + 1 : end] if -1 < start < end - 1 else name
    return crc_hqx(hashed, 0) % SLOTS


@dataclass(frozen=True, slots=True)
class Tls:
    """What servers need to speak TLS, each a file.

    Attributes:
        certificate: theirs.
        key: its key.
        authority: the certificate of who issued it.
    """

    certificate: Path
    key: Path
    authority: Path

    def options(self, port: int) -> tuple[str, ...]:
        """A node's options: TLS for its clients, for other nodes and for replicas. The plain port is the tests' own."""
        files = ("--tls-cert-file", self.certificate, "--tls-key-file", self.key, "--tls-ca-cert-file", self.authority)
        uses = ("--tls-port", port, "--tls-cluster", "yes", "--tls-replication", "yes", "--tls-auth-clients", "no")
        return tuple(map(str, (*files, *uses)))


class Node:
    """One server of a cluster.

    Attributes:
        server: its process.
        bus: the port on which nodes talk to each other.
        client_port: the port for clients: that of TLS, if it speaks TLS.
        id: what the cluster calls it.
    """

    def __init__(self, kind: str, directory: Path, options: tuple[str, ...], tls: Tls | None) -> None:
        """Start nothing yet."""
        port, self.bus, secure_port = free_ports(3)
        own = ("--cluster-port", str(self.bus), *(tls.options(secure_port) if tls is not None else ()))
        self.client_port = secure_port if tls is not None else port
        self.server = Server(kind, directory, *_OPTIONS, *own, *options, port=port)
        self.id = ""
        # Kept: to make a client and to connect takes longer than most of what is asked.
        self._client = redis.Redis(port=port, protocol=2, socket_timeout=10)
        self._client.set_response_callback("CLUSTER NODES", bytes.decode)  # redis-py's own loses the open slots
        self._texts = redis.Redis(port=port, protocol=2, socket_timeout=10, decode_responses=True)

    @property
    def port(self) -> int:
        return self.server.port

    def ask(self, *command: object) -> Any:
        """Its reply to a command."""
        return self._texts.execute_command(*command)

    def info(self, section: str) -> dict[str, Any]:
        return self._client.info(section)

    def lines(self) -> dict[str, list[str]]:
        """What it knows of each node: the words of their lines in CLUSTER NODES, by their ids."""
        lines = self._client.execute_command("CLUSTER NODES").splitlines()
        return {words[0]: words for words in map(str.split, lines)}

    @property
    def is_primary(self) -> bool:
        return bool(self.info("replication")["role"] == "master")

    @property
    def sees_all_well(self) -> bool:
        """Whether the cluster is up in its eyes."""
        return dict(self._client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok"

    def names(self, pattern: str = "*") -> list[bytes]:
        """The keys that it has."""
        return list(self._client.scan_iter(pattern, 1000))

    def names_in(self, slot: int) -> list[bytes]:
        """Some of the keys that it has in a slot."""
        return list(self._client.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100))

    def value(self, name: bytes) -> bytes | None:
        """What stands under a name."""
        return self._client.get(name)

    def kill(self, *, keep_snapshot: bool = False) -> None:
        """End it at once, as a crash would.

        What a replica was sent at first lies on its disk. If it were loaded again by a primary, whose slots may have
        moved since, they would be found open there, and have to be repaired as `redis-cli --cluster fix` does.
        """
        self.server.kill()
        if not keep_snapshot:
            (self.server.directory / "dump.rdb").unlink(missing_ok=True)

    def end(self) -> None:
        """End it for good."""
        self.server.__exit__()
        self._client.close()
        self._texts.close()

    def freeze(self) -> None:
        """Let it accept connections, but answer nothing."""
        self.server.freeze()

    def thaw(self) -> None:
        self.server.thaw()

    @property
    def is_running(self) -> bool:
        return self.server.process is not None

    def counts(self) -> Counter[str]:
        """How often it was sent which command by clients, since it was last reset."""
        stats = self.info("commandstats")
        names = {name: name.removeprefix("cmdstat_") for name in stats}
        return Counter({names[name]: int(stats[name]["calls"]) for name in stats if names[name] not in _OWN_COMMANDS})


class Cluster:
    """Three primaries and their replicas. Use as a context manager."""

    def __init__(self, kind: str, directory: Path, *options: str, tls: Tls | None = None) -> None:
        """Start nothing yet.

        Args:
            kind: "redis" or "valkey" (the embedded one speaks no TLS).
            directory: for all its nodes.
            options: of every node.
            tls: speak TLS, on each node's `client_port`.
        """
        self.scheme = "redis+cluster" if tls is None else "rediss+cluster"
        self.nodes = [Node(kind, directory / f"n{number}", options, tls) for number in range(2 * SHARDS)]

    @property
    def url(self) -> str:
        """A URL that names the nodes that run."""
        return self.url_of(*(node for node in self.nodes if node.is_running))

    def url_of(self, *nodes: Node, user: str = "", host: str = "127.0.0.1", rest: str = "") -> str:
        """A URL that names some nodes. The user with a colon, a password and an @."""
        return f"{self.scheme}://{user}{','.join(f'{host}:{node.client_port}' for node in nodes)}{rest}"

    @property
    def primaries(self) -> list[Node]:
        """The running nodes that have slots, by their own word, in the order of their first slots."""
        found = [node for node in self.nodes if node.is_running and node.is_primary]
        owned = [(min(slots, default=SLOTS), node) for node in found if (slots := self.slots_of(node))]
        return [node for _, node in sorted(owned, key=lambda pair: pair[0])]

    def replica_of(self, primary: Node) -> Node:
        """The running replica of a primary."""
        for node in self.nodes:
            if node.is_running and node is not primary and node.lines()[node.id][3] == primary.id:
                return node
        raise AssertionError("this primary has no replica")

    @staticmethod
    def slots_of(node: Node) -> set[int]:
        """The slots that a node says it has."""
        ranges = [word.partition("-") for word in node.lines()[node.id][8:] if not word.startswith("[")]
        return {slot for first, _, last in ranges for slot in range(int(first), int(last or first) + 1)}

    def owner_of(self, slot: int) -> Node:
        """The primary that has a slot."""
        return next(node for node in self.primaries if slot in self.slots_of(node))

    def roots_at(self, node: Node, count: int, kind: str = "user") -> list[str]:
        """Roots of tags whose stamps, and whose entries, lie at a node."""
        slots = self.slots_of(node)
        named = (f"{kind}:{number}" for number in itertools.count())
        return list(itertools.islice((one for one in named if slot_of(b"{%b}" % one.encode()) in slots), count))

    def roots(self, count: int, kind: str = "user") -> list[str]:
        """As many roots at each primary."""
        return [root for node in self.primaries for root in self.roots_at(node, count, kind)]

    def each(self, *command: object) -> None:
        """Send a command to every node that runs."""
        for node in self.nodes:
            if node.is_running:
                node.ask(*command)

    def flush(self) -> None:
        """Remove everything everywhere."""
        for node in self.primaries:
            node.ask("FLUSHALL")

    def settle(self) -> None:
        """Wait until every node that runs sees all well, and knows all that run."""
        running = [node for node in self.nodes if node.is_running]
        until(lambda: all(node.sees_all_well for node in running))
        until(lambda: all(self._is_followed(node) for node in running))
        until(lambda: self._all_agree(running))

    @staticmethod
    def _all_agree(nodes: list[Node]) -> bool:
        """Whether each knows each in its own role, and is connected to it."""
        roles = {node.id: "master" if node.is_primary else "slave" for node in nodes}
        known = [lines.get(other, []) for node in nodes for lines in [node.lines()] for other in roles]
        return all(
            len(words) > 7 and roles[words[0]] in words[2] and "fail" not in words[2] and words[7] == "connected"
            for words in known
        )

    @staticmethod
    def _is_followed(node: Node) -> bool:
        state = node.info("replication")
        return state["role"] == "master" or state["master_link_status"] == "up"

    def lose(self, primary: Node) -> Node:
        """Kill a primary, and wait for the promotion of its replica, which is returned."""
        heir = self.replica_of(primary)
        primary.kill()
        self.wait_for(heir)
        return heir

    def wait_for(self, heir: Node, *, without: Node | None = None) -> None:
        """Wait until a node is primary, in the eyes of all that run and are not frozen."""
        running = [node for node in self.nodes if node.is_running and node is not without]
        until(lambda: heir.is_primary and all(node.sees_all_well for node in running))
        until(lambda: all("master" in node.lines()[heir.id][2] for node in running))

    def hand_over(self, primary: Node, how: str = "") -> Node:
        """Have a primary's replica take its place ("FORCE", "TAKEOVER"; "" asks the primary); the new primary."""
        heir = self.replica_of(primary)
        heir.ask("CLUSTER", "FAILOVER", *([how] if how else []))
        self.wait_for(heir)
        return heir

    @contextmanager
    def severed(self, primary: Node) -> Iterator[Node]:
        """Meanwhile a primary's replica, which is given, gets nothing of it any more, and keeps what it has.

        By the primary's ACL: a replica that was merely stopped would find the rest in its socket's buffer.
        """
        heir = self.replica_of(primary)
        primary.ask("ACL", "SETUSER", "default", "-psync", "-sync")
        primary.ask("CLIENT", "KILL", "TYPE", "replica")
        until(lambda: heir.info("replication")["master_link_status"] == "down")
        try:
            yield heir
        finally:
            if primary.is_running:
                primary.ask("ACL", "SETUSER", "default", "+psync", "+sync")

    def repair(self) -> None:
        """Bring back what a test has killed or frozen, and remove everything everywhere."""
        for node in self.nodes:
            if node.is_running:
                node.thaw()
            else:
                node.server.start()
        self.settle()
        self.flush()

    def start_again(self, node: Node) -> None:
        """Start a node that was killed, and wait until it has its place: as a replica, if another is primary now."""
        node.server.start()
        self.settle()

    def move(self, slot: int, target: Node, pause: Callable[[], None] = lambda: None) -> None:
        """Move a slot to another primary, key by key, as redis-cli's reshard does.

        Args:
            slot: its number.
            target: where it goes.
            pause: called after each key, while the slot is half here and half there.
        """
        source = self.owner_of(slot)
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        try:
            pause()
            while names := source.names_in(slot):
                for name in names:
                    self._migrate(source, target, name)
                    pause()
        finally:  # no slot stays half moved: no failover would come about later
            while names := source.names_in(slot):
                for name in names:
                    self._migrate(source, target, name)
            for node in (target, source, *(one for one in self.primaries if one not in {source, target})):
                node.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)

    @staticmethod
    def _migrate(source: Node, target: Node, name: bytes) -> None:
        source.ask("MIGRATE", "127.0.0.1", target.client_port, name, 0, 5000)

    @property
    def moves_at_a_stroke(self) -> bool:
        """Whether the servers can move a slot as one, which Valkey has from 9 on."""
        return int(str(self.nodes[0].info("server").get("valkey_version", "0")).partition(".")[0]) >= 9

    def move_at_a_stroke(self, slot: int, target: Node) -> None:
        """Move a slot to another primary as one: it is copied, and then changes hands."""
        source = self.owner_of(slot)
        source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.id)
        until(lambda: self.owner_of(slot) is target)

    def start(self) -> Self:
        for node in self.nodes:
            node.server.start()
        for epoch, node in enumerate(self.nodes, 1):
            node.id = node.ask("CLUSTER", "MYID")
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for number, node in enumerate(self.nodes):
            for other in self.nodes[:number]:
                node.ask("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus)
        primaries, replicas = self.nodes[:SHARDS], self.nodes[SHARDS:]
        for number, node in enumerate(primaries):
            first, last = number * SLOTS // SHARDS, (number + 1) * SLOTS // SHARDS - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        until(lambda: all(node.lines().keys() >= {other.id for other in self.nodes} for node in self.nodes))
        for node, primary in zip(replicas, primaries, strict=True):
            node.ask("CLUSTER", "REPLICATE", primary.id)
        self.settle()
        return self

    def end(self) -> None:
        for node in self.nodes:
            node.end()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *exception: object) -> None:
        self.end()


def until(condition: Callable[[], Any]) -> None:
    """Wait for something that must come about."""
    deadline = time.monotonic() + LONGEST_SECONDS
    while True:
        try:
            if condition():
                return
        except redis.RedisError:
            pass
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
