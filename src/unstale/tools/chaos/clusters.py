"""A cluster of three primaries and three replicas: real processes, set up by their own commands.

What a cluster has to say is asked of its nodes themselves: a client of a cluster would follow the redirects that a
fault is about.
"""

from __future__ import annotations

from binascii import crc_hqx
from pathlib import Path
from typing import Final

from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.layouts import Own, follows, is_followed, reconnect, revive, role_of
from unstale.tools.chaos.servers import HOST, Server, free_port, until

SLOTS: Final = 16384
SHARDS: Final = 3
NODE_TIMEOUT_MILLISECONDS: Final = 2000
"""After which a node that is silent counts as failed. Less would fail over where a machine is merely busy."""
MIGRATE_MILLISECONDS: Final = 5000
BATCH: Final = 100
_OPTIONS: Final = (
    *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf"),
    *("--cluster-node-timeout", str(NODE_TIMEOUT_MILLISECONDS)),
    *("--cluster-replica-validity-factor", "0"),  # a replica may be promoted however far it lags
    *("--cluster-allow-replica-migration", "no"),
)


class Node(Server):
    """One server of a cluster. Its place in it is in a file, and survives a restart.

    Attributes:
        bus: the port on which nodes talk to each other.
        id: what the cluster calls it; empty until it has been started.
    """

    def __init__(self, program: str, directory: Path) -> None:
        """Start nothing yet."""
        self.bus = free_port()
        self.id = ""
        super().__init__(program, directory, *_OPTIONS, "--cluster-port", str(self.bus))

    def line_of(self, other: Node) -> list[str]:
        """What it knows of another node: the words of its line in CLUSTER NODES; none if it does not know it."""
        with self.client() as client:
            client.set_response_callback("CLUSTER NODES", bytes.decode)  # redis-py's own loses the open slots
            lines: list[str] = client.execute_command("CLUSTER NODES").splitlines()
        return next((words for words in map(str.split, lines) if words[0] == other.id), [])

    def slots(self) -> set[int]:
        """The slots that it says it has."""
        ranges = [word.partition("-") for word in self.line_of(self)[8:] if not word.startswith("[")]
        return {slot for first, _, last in ranges for slot in range(int(first), int(last or first) + 1)}

    def sees_all_well(self) -> bool:
        """Whether the cluster is up in its eyes."""
        with self.client() as client:
            return bool(dict(client.execute_command("CLUSTER INFO"))["cluster_state"] == "ok")


class Cluster(Own):
    """All of them."""

    def __init__(self, program: str, directory: Path) -> None:
        """Start all, and make them a cluster."""
        self.nodes = [Node(program, directory / f"node{number}") for number in range(2 * SHARDS)]
        super().__init__(list(self.nodes))

    @property
    def url(self) -> str:
        """Three of its nodes', as one that was set up once, whatever they are now."""
        return f"redis+cluster://{','.join(f'{HOST}:{node.port}' for node in self.nodes[:SHARDS])}"

    def leading(self) -> list[Server]:
        """The primaries, in the order of their first slots."""
        return list(self.owners())

    def owners(self) -> dict[Node, set[int]]:
        """The running nodes that have slots, by their own word, in the order of their first ones."""
        found = {node: node.slots() for node in self.nodes if node.is_running and role_of(node) == "master"}
        return dict(sorted(((node, own) for node, own in found.items() if own), key=lambda pair: min(pair[1])))

    def replica_of(self, primary: Server) -> Node:
        """A primary's replica.

        Raises:
            ChaosError: it has none that runs.
        """
        for node in self.nodes:
            if node.is_running and node.line_of(node)[3:4] == [_id(primary)]:
                return node
        raise ChaosError(f"The primary on port {primary.port} has no replica.")

    def wait_for(self, heir: Node) -> None:
        """Wait until a node is a primary, in the eyes of all that run."""
        running = [node for node in self.nodes if node.is_running]
        until(
            lambda: (
                role_of(heir) == "master"
                and all("master" in node.line_of(heir)[2] and node.sees_all_well() for node in running)
            ),
            f"a primary on port {heir.port}, in the eyes of all nodes",
        )

    def move(self, slot: int, source: Node, target: Node) -> int:
        """Move a slot, name by name, as resharding tools do; how many names there were."""
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.id)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", target.id)
        moved = 0
        while names := source.ask("CLUSTER", "GETKEYSINSLOT", slot, BATCH):
            source.ask("MIGRATE", HOST, target.port, "", 0, MIGRATE_MILLISECONDS, "KEYS", *names)
            moved += len(names)
        target.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)  # first, lest nobody has it
        source.ask("CLUSTER", "SETSLOT", slot, "NODE", target.id)
        return moved  # the others hear of it from these two

    def heal(self) -> None:
        """See that all run, and that each node sees all others well, and each replica follows its primary."""
        for node in self.nodes:
            revive(node)
            reconnect(node)
        if not self.nodes[0].id:
            self._meet()
        until(self._is_settled, "a cluster in which all nodes see all others well")

    def _meet(self) -> None:
        primaries, replicas = self.nodes[:SHARDS], self.nodes[SHARDS:]
        for epoch, node in enumerate(self.nodes, 1):
            node.id = node.ask("CLUSTER", "MYID").decode()
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
            for other in self.nodes[: epoch - 1]:
                node.ask("CLUSTER", "MEET", HOST, other.port, other.bus)
        for number, node in enumerate(primaries):
            first, last = number * SLOTS // SHARDS, (number + 1) * SLOTS // SHARDS - 1
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        until(lambda: all(node.line_of(other) for node in self.nodes for other in self.nodes), "nodes that have met")
        for node, primary in zip(replicas, primaries, strict=True):
            node.ask("CLUSTER", "REPLICATE", primary.id)

    def _is_settled(self) -> bool:
        return (
            all(node.sees_all_well() for node in self.nodes)
            and all(_is_well_known(node, other) for node in self.nodes for other in self.nodes)
            and all(is_followed(node) if role_of(node) == "master" else follows(node) for node in self.nodes)
            and sum(map(len, self.owners().values())) == SLOTS
        )


def slot_of(name: bytes) -> int:
    """A name's slot, as the cluster specification has it."""
    start = name.find(b"{")
    end = name.find(b"}", start + 1)
    hashed = name[start + 1 : end] if -1 < start < end - 1 else name
    return crc_hqx(hashed, 0) % SLOTS


def _id(server: Server) -> str:
    return server.id if isinstance(server, Node) else ""


def _is_well_known(node: Node, other: Node) -> bool:
    words = node.line_of(other)
    role = "master" if role_of(other) == "master" else "slave"
    return len(words) > 7 and role in words[2] and "fail" not in words[2] and words[7] == "connected"  # noqa: PLR2004
