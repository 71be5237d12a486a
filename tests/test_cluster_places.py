"""From a URL to the servers behind it: who is asked, in which order, and by which name each server is called."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from clusters import Cluster, until
from servers import free_port

from unstale.tools.places import Manner, NobodyTellsError, Origin

PLAIN = Manner(None, 5.0, 5.0)


def names(origin: Origin) -> set[str]:
    """What the servers are called."""
    return {place.name for place in origin.places()}


def nodes_of(cluster: Cluster, host: str = "127.0.0.1") -> set[str]:
    """What a cluster's nodes are called."""
    return {f"{host}:{node.client_port}" for node in cluster.nodes}


def test_a_dead_seed_is_passed_over(cluster: Cluster) -> None:
    """The next one is asked, and the next time it is asked first."""
    origin = Origin(cluster.url.replace("redis+cluster://", "redis+cluster://127.0.0.1:1,"), PLAIN, patience=0.0)
    with pytest.raises(NobodyTellsError, match=r"127\.0\.0\.1:1: .*refused"):  # no time for a second one
        origin.places()
    assert [names(origin) for _ in range(2)] == [nodes_of(cluster)] * 2


def test_when_the_seeds_are_gone_other_nodes_are_asked(cluster: Cluster) -> None:
    """Whoever was found once."""
    seed = cluster.nodes[0]
    origin = Origin(cluster.url_of(seed), PLAIN)
    assert names(origin) == nodes_of(cluster)
    seed.kill()
    assert names(origin) == nodes_of(cluster)


@pytest.fixture
def by_host_name(cluster: Cluster) -> Iterator[Cluster]:
    """A cluster that wants to be called by host names, as one with TLS may have to be."""
    cluster.each("CONFIG", "SET", "cluster-announce-hostname", "localhost")
    cluster.each("CONFIG", "SET", "cluster-preferred-endpoint-type", "hostname")
    until(lambda: all(",localhost" in words[1] for node in cluster.nodes for words in node.lines().values()))
    yield cluster
    cluster.repair()
    cluster.each("CONFIG", "SET", "cluster-announce-hostname", "")
    cluster.each("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")


def test_host_names_are_used_where_they_are_wanted(by_host_name: Cluster) -> None:
    """Also for a node that has failed, of which CLUSTER SLOTS tells nothing."""
    origin = Origin(by_host_name.url, PLAIN)
    assert names(origin) == nodes_of(by_host_name, "localhost")
    gone, asked = by_host_name.replica_of(by_host_name.primaries[0]), by_host_name.primaries[0]
    gone.kill()
    until(lambda: "fail" in asked.lines()[gone.id][2].split(","))
    assert names(Origin(by_host_name.url_of(asked), PLAIN)) == nodes_of(by_host_name, "localhost")


def test_a_host_name_that_is_only_announced_is_not_used(cluster: Cluster) -> None:
    """A cluster may have one for people."""
    cluster.each("CONFIG", "SET", "cluster-announce-hostname", "for.people")
    try:
        until(lambda: all(",for.people" in words[1] for node in cluster.nodes for words in node.lines().values()))
        assert names(Origin(cluster.url, PLAIN)) == nodes_of(cluster)
    finally:
        cluster.each("CONFIG", "SET", "cluster-announce-hostname", "")


@pytest.mark.parametrize("form", ["redis+cluster://127.0.0.1:{}", "redis+sentinel://127.0.0.1:{}/shop"])
def test_what_went_wrong_is_said_of_each_who_was_asked(form: str) -> None:
    """One after the other, without a password."""
    ports = free_port(), free_port()
    url = form.format(f"{ports[0]},127.0.0.1:{ports[1]}").replace("://", "://user:s3cret@")
    with pytest.raises(NobodyTellsError) as failed:
        Origin(url, PLAIN).places()
    assert [f"127.0.0.1:{port}: " in str(failed.value) for port in ports] == [True, True]
    assert "s3cret" not in str(failed.value)
