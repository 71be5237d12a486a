"""A cluster as data, and its trips over a port that answers as a test says: no server."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any

import hiredis
import pytest
from redis.crc import key_slot

from unstale.core.keys import Names
from unstale.core.slots import SLOTS
from unstale.errors import (
    ConfigurationError,
    StoreClosedError,
    StoreError,
    StoreRefusedError,
    StoreTimeoutError,
    StoreUnavailableError,
)
from unstale.stores import cluster_url
from unstale.stores.cluster import (
    Address,
    Folding,
    Nodes,
    Redirect,
    fold_at,
    folded,
    kind_of,
    layout_of,
    ranges_of,
    redirect_of,
)
from unstale.stores.cluster_run import ASKING, Answer, Broken, ClusterRun, Kind, Part, Request, without_waiting
from unstale.stores.commands import Trip
from unstale.stores.options import StoreOptions
from unstale.stores.urls import is_cluster

ASKED = ("10.0.0.1", 7000)
ONE, TWO, THREE = ("one", 1), ("two", 2), ("three", 3)
NAMES = Names("shop", clustered=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MOVED 3999 10.0.0.2:7001", Redirect(is_move=True, slot=3999, address=("10.0.0.2", 7001))),
        ("ASK 0 node.example:7001", Redirect(is_move=False, slot=0, address=("node.example", 7001))),
        ("MOVED 1 ::1:7001", Redirect(is_move=True, slot=1, address=("::1", 7001))),
        ("MOVED 1 :7001", Redirect(is_move=True, slot=1, address=("10.0.0.1", 7001))),
        ("MOVED 1 ?:7001", Redirect(is_move=True, slot=1, address=None)),
        ("MOVED 1 nonsense", Redirect(is_move=True, slot=1, address=None)),
        ("MOVED x 10.0.0.2:7001", None),
        ("MOVED", None),
        ("ERR MOVED 1 10.0.0.2:7001", None),
        ("TRYAGAIN Multiple keys request during rehashing of slot", None),
    ],
)
def test_redirects(text: str, expected: Redirect | None) -> None:
    """A node says where a slot is: at a host, or without one on its own, or it does not know."""
    assert redirect_of(hiredis.ReplyError(text), ASKED) == expected


def test_values_are_no_redirects() -> None:
    """What reads like a redirection but is a value is none."""
    assert redirect_of(b"MOVED 3999 10.0.0.2:7001", ASKED) is None


def test_ranges() -> None:
    """The table is read with host names, addresses, and without a host; replicas do not matter."""
    reply = [
        [0, 99, [b"10.0.0.2", 7001, b"id", []], [b"10.0.0.3", 7002, b"id", []]],
        [100, 199, [b"node.example", 7003, b"id", [b"ip", b"10.0.0.4"]]],
        [200, 299, [b"", 7004, b"id"]],
        [300, 399, [None, 7005, b"id"]],
        [400, 16383, [b"?", 7006, b"id", [b"ip", b"10.0.0.5"]]],
    ]
    assert ranges_of(reply, ASKED) == [
        (0, 99, ("10.0.0.2", 7001)),
        (100, 199, ("node.example", 7003)),
        (200, 299, ("10.0.0.1", 7004)),
        (300, 399, ("10.0.0.1", 7005)),
        (400, 16383, ("10.0.0.5", 7006)),
    ]


@pytest.mark.parametrize("reply", [5, b"x", [[1]], [[0, 1, 5]], [["a", 1, [b"h", 1]]], [[0, 1, [b"h"]]]], ids=repr)
def test_ranges_that_make_no_sense(reply: Any) -> None:
    """What is no table is an error of the store's."""
    with pytest.raises(StoreRefusedError, match="CLUSTER SLOTS"):
        ranges_of(reply, ASKED)


def test_layout() -> None:
    """Names of one home are one group; stamps of tags and of roots are told by their names."""
    tagset = NAMES.make_tagset("", ("user:42/orders", "product:9"))
    names = NAMES.read_names(b"k", tagset, tagset.home)
    layout = layout_of(names)
    assert layout.slot == -1
    assert layout.groups == ((key_slot(names[0]), (0, 2, 3, 4)), (key_slot(names[1]), (1,)))
    assert (layout.tags, layout.roots) == ((1, 2, 3), (4,))
    assert layout_of(names[2:]).slot == key_slot(b"user:42")
    assert Folding(roots=False).positions(layout) == (1, 2, 3)
    assert Folding(roots=True).positions(layout) == (1, 2, 3, 4)


@pytest.mark.parametrize("namespace", ["shop", "s", "r", "a:b:c", "shop:prod", "e:deep"])
def test_kinds(namespace: str) -> None:
    """What a name is does not depend on the namespace, the key or the tag, whatever these look like."""
    names = Names(namespace, clustered=True)
    for text in ("k", "s:x", ":s:", "a:r:7", "{x}:s:y"):
        assert kind_of(names.stamp(text)) == b"s"
        for home in ("", text):
            entry = names.entry(text.encode(), home)
            assert kind_of(entry) == b"e"
            assert kind_of(names.lease(entry)) == b"l"
            assert kind_of(names.root_of(text.encode(), home)) == b"r"
        long = names.entry(b"k" * 300, text)
        assert (kind_of(long), kind_of(names.lease(long))) == (b"h", b"l#")


def test_folding() -> None:
    """A stamp that is folded twice with the same identity is itself; with another identity it is another."""
    stamp, identity, other = (os.urandom(16) for _ in range(3))
    seen = folded(stamp, identity)
    assert len(seen) == 16
    assert seen != stamp
    assert folded(seen, identity) == stamp
    assert folded(seen, other) != stamp
    assert folded(stamp, other) != seen
    assert folded(stamp, identity)[:8] == folded(stamp[:8] + bytes(8), identity)[:8]  # the halves are apart


@pytest.mark.parametrize("value", [None, b"", b"short", b"x" * 17, 5], ids=repr)
def test_what_is_no_stamp_is_not_folded(value: Any) -> None:
    """Missing stays missing, and what is no open stamp stays what it is."""
    assert folded(value, os.urandom(16)) == value
    values = [value]
    fold_at(values, (0,), os.urandom(16))
    assert values == [value]


def test_fold_at() -> None:
    """Only what stands at the positions is folded."""
    identity, first, second = (os.urandom(16) for _ in range(3))
    values: list[Any] = [first, second, None]
    fold_at(values, (1, 2), identity)
    assert values == [first, folded(second, identity), None]


def test_names_that_are_folded() -> None:
    """Stamps of tags always, those of roots where all is fenced, anything else never."""
    stamp, root, entry = NAMES.stamp("a"), NAMES.root_of(b"k"), NAMES.entry(b"k")
    assert [Folding(roots=False).has(name) for name in (stamp, root, entry)] == [True, False, False]
    assert [Folding(roots=True).has(name) for name in (stamp, root, entry)] == [True, True, False]
    value, identity = os.urandom(16), os.urandom(16)
    assert Folding(roots=False).fold(root, value, identity) == value
    assert Folding(roots=True).fold(root, value, identity) == folded(value, identity)


@pytest.mark.parametrize(
    ("url", "seeds"),
    [
        ("redis+cluster://a", (("a", 6379),)),
        ("redis+cluster://a:7000,b:7001/", (("a", 7000), ("b", 7001))),
        ("rediss+cluster://user:p%40ss@a:7000,[::1]:7001/0?ssl_cert_reqs=none", (("a", 7000), ("::1", 7001))),
    ],
)
def test_urls(url: str, seeds: tuple[Address, ...]) -> None:
    """A URL names some nodes; what stands around them is for all nodes."""
    place = cluster_url.place_of(url)
    assert place.seeds == seeds
    assert is_cluster(url)
    assert not is_cluster(place.url)
    assert "ss@" not in repr(place)


def test_a_cluster_has_one_database() -> None:
    """Another database is an error that says so, wherever it is named."""
    with pytest.raises(ConfigurationError, match="one database"):
        cluster_url.place_of("redis+cluster://a/1")
    with pytest.raises(ConfigurationError, match="one database"):
        cluster_url.arguments_of_a_node({"db": 1})
    assert cluster_url.arguments_of_a_node({"db": 0, "host": "x", "port": 1, "username": "u"}) == {"username": "u"}


def nodes_of(*ranges: tuple[int, int, Address]) -> Nodes[str]:
    """Nodes whose stores are their hosts' names."""
    nodes = Nodes([ONE], lambda address: address[0], lambda _: None)
    if ranges:
        nodes.install(ranges)
    return nodes


def test_install() -> None:
    """A table says who has each slot; who has none any more is let go."""
    dropped: list[str] = []
    nodes = Nodes([ONE], lambda address: address[0], dropped.append)
    nodes.install([(0, 9, ONE), (10, SLOTS - 1, TWO)])
    assert [node.store for node in nodes.primaries] == ["one", "two"]
    assert (nodes.table[9].address, nodes.table[10].address) == (ONE, TWO)  # type: ignore[union-attr]
    kept = nodes.at(TWO)
    nodes.install([(0, 8, THREE), (10, SLOTS - 1, TWO)])
    assert [node.store for node in nodes.primaries] == ["three", "two"]
    assert nodes.table[9] is None
    assert nodes.at(TWO) is kept
    assert dropped == ["one"]


def test_digest_changes_with_the_table_and_the_identities() -> None:
    """What a scan is bound to is another when a slot has moved, or a node lives another life."""
    nodes = nodes_of((0, 9, ONE), (10, SLOTS - 1, TWO))
    before = nodes.digest()
    assert nodes.digest() == before
    nodes.move(Redirect(is_move=True, slot=9, address=TWO))
    moved = nodes.digest()
    nodes.at(TWO).identity = b"another life"
    assert len({before, moved, nodes.digest()}) == 3


def test_whom_to_ask() -> None:
    """First who should know, last who is silent, and the seeds behind the known."""
    nodes = nodes_of((0, 9, TWO), (10, SLOTS - 1, THREE))
    assert nodes.to_ask(THREE, None)[0] == THREE
    assert nodes.to_ask(None, TWO)[-1] == TWO
    assert nodes.to_ask(TWO, TWO)[-1] == TWO
    assert sorted(nodes.to_ask(None, None)) == sorted([ONE, TWO, THREE])
    assert nodes_of().to_ask(None, None) == [ONE]


Reply = Callable[[str, tuple[Any, ...]], Any]


class FakePort:
    """Nodes that answer as a test says; what they were asked is kept, with who asked for the table."""

    def __init__(self, reply: Reply, ranges: Sequence[tuple[int, int, Address]] = ((0, SLOTS - 1, ONE),)) -> None:
        self.reply = reply
        self.ranges = list(ranges)
        self.rounds: list[dict[str, list[tuple[Any, ...]]]] = []
        self.tables: list[Address] = []
        self.seconds: list[float] = []
        self.dead: set[Address] = set()

    async def exchange(self, requests: Sequence[Request[str]]) -> list[Answer | Broken]:
        self.rounds.append({})
        return [self._answer(request) for request in requests]

    def _answer(self, request: Request[str]) -> Answer | Broken:
        trips = request.made(b"i" * 16)
        commands = request.commands(trips)
        self.rounds[-1].setdefault(request.node.store, []).extend(commands)
        replies = [self.reply(request.node.store, command) for command in commands]
        broken = next((reply for reply in replies if isinstance(reply, Broken)), None)
        return broken or Answer(trips, replies, b"i" * 16)

    async def slots(self, address: Address, seconds: float) -> Any:
        assert seconds > 0
        self.tables.append(address)
        self.seconds.append(seconds)
        if address in self.dead:
            raise StoreUnavailableError
        return [[first, last, [host, port, b"id"]] for first, last, (host, port) in self.ranges]

    async def pause(self, seconds: float) -> None:
        """Time does not matter here."""


def part(slot: int = 5, *, once: bool = False) -> Part:
    """A command that counts its attempts."""
    attempts = iter(range(100))
    return Part(
        slot, lambda _: Trip([(b"GET", b"%d" % slot, b"%d" % next(attempts))], lambda replies, _: replies), once
    )


def run(port: FakePort, *parts: Part, nodes: Nodes[str] | None = None) -> list[Any]:
    """Make a trip; what each part was answered."""
    run = ClusterRun(port, nodes or nodes_of(), StoreOptions(timeout=1.0))
    return [done.parsed()[0] for done in without_waiting(run.run(parts))]


def error(text: str) -> hiredis.ReplyError:
    """A node's error reply."""
    return hiredis.ReplyError(text)


def test_one_round_to_all_nodes() -> None:
    """All nodes are asked at the same time, each once, and the answers come in the order of the parts."""
    port = FakePort(lambda node, command: (node, command[1]), [(0, 9, ONE), (10, SLOTS - 1, TWO)])
    assert run(port, part(20), part(5), part(21)) == [("two", b"20"), ("one", b"5"), ("two", b"21")]
    assert [sorted(each) for each in port.rounds] == [["one", "two"]]
    assert port.tables == [ONE]


def test_moved() -> None:
    """A slot that has moved is asked for where it is, with a new attempt; the table is asked for, there first."""
    port = FakePort(
        lambda node, command: error("MOVED 5 two:2") if node == "one" else command[2], [(0, SLOTS - 1, TWO)]
    )
    nodes = nodes_of((0, SLOTS - 1, ONE))
    nodes._refreshed_at = 0.0
    assert run(port, part(5), nodes=nodes) == [b"1"]
    assert port.tables == [TWO]


def test_a_node_that_has_not_heard_of_the_move() -> None:
    """An older table than the redirection is corrected by the next one."""
    port = FakePort(lambda node, command: error("MOVED 5 two:2") if node == "one" else command[2])
    nodes = nodes_of((0, SLOTS - 1, ONE))
    nodes._refreshed_at = 0.0
    assert run(port, part(5), nodes=nodes) == [b"2"]


def test_moved_right_after_the_table_came() -> None:
    """The table is not asked for at every redirection; one slot's new place is taken in all the same."""
    port = FakePort(lambda node, command: error("MOVED 5 two:2") if node == "one" else command[2])
    nodes = nodes_of((0, SLOTS - 1, ONE))
    assert run(port, part(5), nodes=nodes) == [b"1"]
    assert run(port, part(5), nodes=nodes) == [b"0"]
    assert port.tables == []
    assert nodes.is_doubtful


def test_moved_to_a_node_that_it_does_not_name() -> None:
    """Where a node does not say who has the slot, the table does."""
    port = FakePort(lambda node, _: error("MOVED 5 ?:2") if node == "one" else node, [(0, SLOTS - 1, TWO)])
    nodes = nodes_of((0, SLOTS - 1, ONE))
    nodes._refreshed_at = 0.0
    assert run(port, part(5), nodes=nodes) == ["two"]


def test_ask() -> None:
    """ASK sends this one command elsewhere, once, with ASKING; the table stays as it is."""
    port = FakePort(
        lambda node, command: b"OK" if command == ASKING else error("ASK 5 two:2") if node == "one" else node
    )
    nodes = nodes_of((0, SLOTS - 1, ONE))
    assert run(port, part(5), part(5), nodes=nodes) == ["two", "two"]
    assert [command[0] for command in port.rounds[1]["two"]] == [b"ASKING", b"GET", b"ASKING", b"GET"]
    assert nodes.table[5] is nodes.at(ONE)
    assert not nodes.is_doubtful


def test_only_what_was_redirected_is_sent_again() -> None:
    """What a node has answered is not asked again."""
    port = FakePort(lambda node, command: error("MOVED 5 two:2") if (node, command[1]) == ("one", b"5") else command[2])
    assert run(port, part(5), part(6), nodes=nodes_of((0, SLOTS - 1, ONE))) == [b"1", b"0"]


def test_redirections_without_end() -> None:
    """Nodes that send each other's clients to and fro are an error, after a bounded number of rounds."""
    port = FakePort(lambda node, _: error("MOVED 5 two:2" if node == "one" else "MOVED 5 one:1"))
    with pytest.raises(StoreUnavailableError, match="again and again"):
        run(port, part(5))
    assert len(port.rounds) == 6


def broken(error: StoreError, *, sent: bool) -> Reply:
    """Node one breaks; the others answer."""
    return lambda node, command: Broken(error, sent) if node == "one" else command[2]


def test_a_broken_connection_is_tried_again_where_the_slot_is_by_then() -> None:
    """The table is asked for, the silent node last, and a new attempt goes to who has the slot."""
    port = FakePort(broken(StoreUnavailableError(), sent=True), [(0, SLOTS - 1, TWO)])
    nodes = nodes_of((0, 9, ONE), (10, SLOTS - 1, TWO))
    nodes._refreshed_at = 0.0
    assert run(port, part(5), nodes=nodes) == [b"1"]
    assert port.tables == [TWO]


def test_a_second_break_is_an_error() -> None:
    """There is one more attempt, not more."""
    port = FakePort(broken(StoreUnavailableError("gone"), sent=True))
    with pytest.raises(StoreUnavailableError, match="gone"):
        run(port, part(5))
    assert len(port.rounds) == 2


@pytest.mark.parametrize(("sent", "attempts"), [(True, 1), (False, 2)])
def test_what_must_not_happen_twice(sent: bool, attempts: int) -> None:
    """What may have been executed is not sent again; what was not, is."""
    port = FakePort(broken(StoreUnavailableError("gone"), sent=sent))
    with pytest.raises(StoreUnavailableError, match="gone"):
        run(port, part(5, once=True))
    assert len(port.rounds) == attempts


@pytest.mark.parametrize("sent", [True, False])
def test_a_timeout_is_final(sent: bool) -> None:
    """After a time-out nothing is tried again, and the next trip looks at the table first."""
    port = FakePort(broken(StoreTimeoutError(), sent=sent))
    nodes = nodes_of((0, SLOTS - 1, ONE))
    with pytest.raises(StoreTimeoutError):
        run(port, part(5), nodes=nodes)
    assert len(port.rounds) == 1
    assert nodes.is_doubtful


def test_the_first_table() -> None:
    """Who finds no table asks the seeds; if none knows, the first one's error says why."""
    port = FakePort(lambda node, _: node)
    port.dead = {ONE}
    with pytest.raises(StoreUnavailableError):
        run(port, part(5))
    port.dead = set()
    port.ranges = []
    with pytest.raises(StoreUnavailableError, match="knows who has its slots"):
        run(port, part(5))


def test_a_slot_that_nobody_has() -> None:
    """A part of the slots without a node is an error for these alone."""
    port = FakePort(lambda node, _: node, [(0, 9, ONE)])
    nodes = nodes_of()
    assert run(port, part(5), nodes=nodes) == ["one"]
    with pytest.raises(StoreUnavailableError, match="slot 10"):
        run(port, part(10), nodes=nodes)


def test_the_table_stays_where_nobody_answers() -> None:
    """A refresh that fails leaves what is known."""
    port = FakePort(lambda node, _: node)
    port.dead = {ONE, TWO}
    nodes = nodes_of((0, SLOTS - 1, TWO))
    nodes.is_doubtful = True
    nodes._refreshed_at = 0.0
    assert run(port, part(5), nodes=nodes) == ["two"]
    assert port.tables == [TWO, ONE]


def test_the_table_is_asked_for_within_an_invalidations_time() -> None:
    """Who has little time asks for less than that, keeps half of it to himself, and asks nobody when it is over."""
    port = FakePort(lambda node, _: node)
    port.dead = {ONE, TWO}
    nodes = nodes_of((0, SLOTS - 1, TWO))
    made = ClusterRun(port, nodes, StoreOptions(timeout=60.0))
    for seconds in (8.0, 0.0):
        nodes.is_doubtful = True
        nodes._refreshed_at = 0.0
        until = monotonic() + seconds
        assert without_waiting(made.run([part(5)], Kind.INVALIDATION, until))[0].parsed() == ["two"]
    assert port.tables == [TWO, ONE]
    assert max(port.seconds) <= 2.0


def test_the_first_table_is_asked_for_within_an_invalidations_time() -> None:
    """The same where there is no table yet."""
    port = FakePort(lambda node, _: node)
    made = ClusterRun(port, nodes_of(), StoreOptions(timeout=60.0))
    with pytest.raises(StoreTimeoutError):
        without_waiting(made.run([part(5)], Kind.INVALIDATION, monotonic()))
    assert port.tables == []
    assert without_waiting(made.run([part(5)], Kind.INVALIDATION, monotonic() + 8.0))[0].parsed() == ["one"]
    assert max(port.seconds) <= 4.0


def test_one_refresh_at_a_time() -> None:
    """While one asks for the table, others go on with what there is."""
    port = FakePort(lambda node, _: node)
    nodes = nodes_of((0, SLOTS - 1, TWO))
    nodes.is_doubtful = True
    nodes._refreshed_at = 0.0
    with nodes.lock:
        assert run(port, part(5), nodes=nodes) == ["two"]
    assert port.tables == []


def test_clusterdown_makes_the_table_doubtful() -> None:
    """A node that sees its cluster down answers with an error, and the table is asked for."""
    port = FakePort(lambda _node, _command: error("CLUSTERDOWN The cluster is down"))
    nodes = nodes_of((0, SLOTS - 1, ONE))
    [reply] = run(port, part(5), nodes=nodes)
    assert str(reply).startswith("CLUSTERDOWN")
    assert nodes.is_doubtful


def test_closed() -> None:
    """A run that was closed says so."""
    made = ClusterRun(FakePort(lambda node, _: node), nodes_of(), StoreOptions(timeout=1.0))
    made.is_closed = True
    with pytest.raises(StoreClosedError):
        without_waiting(made.run([part(5)]))
    with pytest.raises(StoreClosedError):
        without_waiting(made.load())
