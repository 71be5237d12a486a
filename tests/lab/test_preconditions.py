"""What is found out before a run: each bad start has a message that says what to do."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import redis
from servers import SERVERS, Server, free_port, require

from unstale.errors import ConfigurationError
from unstale.tools.lab import preconditions
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.plan import VARIANTS, Plan
from unstale.tools.lab.preconditions import applies, check

SMALL = 1000


def test_a_plan_with_a_server_of_the_labs_is_fine() -> None:
    """Nothing is wrong with it."""
    check(Plan(keys=SMALL))


def test_an_empty_server_of_the_users_is_fine(server: Server) -> None:
    """Nor with this; and nothing was written there."""
    check(Plan(server=server.url, keys=SMALL))
    with server.client as client:
        assert client.dbsize() == 0


def test_an_unknown_program_is_said() -> None:
    """Before anything is started."""
    with pytest.raises(ConfigurationError, match="There is no program nothing-like-it"):
        check(Plan(server="nothing-like-it", keys=SMALL))


def test_data_is_never_touched(own_server: Server) -> None:
    """How many keys there are, and which database is free: the first one."""
    with own_server.client as client, redis.Redis(port=own_server.port, db=1) as second:
        client.mset({"a": 1, "b": 2})
        second.set("c", 3)
        with pytest.raises(LabError, match=r"Database 0 of .*/0 holds 2 keys.* Database 2 is empty: write /2"):
            check(Plan(server=own_server.url, keys=SMALL))
        assert client.dbsize() == 2


def test_data_in_every_database_leaves_another_server(tmp_path: Path) -> None:
    """There is no number to propose."""
    with Server("valkey", tmp_path, "--databases", "1") as server, server.client as client:
        client.set("a", 1)
        with pytest.raises(LabError, match="Name another server"):
            check(Plan(server=server.url, keys=SMALL))


def test_a_database_beyond_the_servers_is_said(server: Server) -> None:
    """A number that the server has not."""
    with pytest.raises(LabError, match="out of range"):
        check(Plan(server=server.url.replace("/0", "/99"), keys=SMALL))


def test_no_server_is_said() -> None:
    """With its address."""
    port = free_port()
    with pytest.raises(LabError, match=rf"redis://127\.0\.0\.1:{port}/0 cannot be reached"):
        check(Plan(server=f"redis://127.0.0.1:{port}/0", keys=SMALL))


@pytest.mark.parametrize("credentials", ["", ":hunter2@", "someone:hunter2@"])
@pytest.mark.parametrize("kind", SERVERS)
def test_a_password_is_asked_for_and_never_shown(kind: str, credentials: str, tmp_path: Path) -> None:
    """None, a wrong one, and a wrong one of a user's."""
    require(kind)
    with Server(kind, tmp_path, "--requirepass", "right") as server:
        url = f"redis://{credentials}127.0.0.1:{server.port}/0"
        with pytest.raises(LabError, match="wants another user or password") as caught:
            check(Plan(server=url, keys=SMALL))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in str(caught.value.__cause__)


def test_the_right_password_is_fine(tmp_path: Path) -> None:
    """It is used."""
    with Server("valkey", tmp_path, "--requirepass", "right") as server:
        check(Plan(server=f"redis://:right@127.0.0.1:{server.port}/0", keys=SMALL))


@pytest.mark.parametrize(
    "url",
    ["redis://:hunter2/x@host:6379/0", "redis://:hunter2#x@host", "redis://:hunter2?x@host", "redis://[:hunter2@x"],
)
def test_a_password_in_a_broken_url_is_not_shown(url: str) -> None:
    """A slash in it makes another URL of it; none of that is quoted, nor chained."""
    with pytest.raises(LabError, match="The server's URL cannot be read") as caught:
        check(Plan(server=url, keys=SMALL))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_user_without_rights_is_said(own_server: Server) -> None:
    """With what it may not."""
    with own_server.client as client:
        client.acl_setuser("poor", enabled=True, passwords="+poor", commands=["+ping", "+select", "+client"])
    with pytest.raises(LabError, match="does not let this user do what the lab does") as caught:
        check(Plan(server=f"redis://poor:poor@127.0.0.1:{own_server.port}/0", keys=SMALL))
    assert "info" in str(caught.value)


def test_a_replica_is_said(tmp_path: Path) -> None:
    """It takes no writes."""
    with (
        Server("valkey", tmp_path, "--replicaof", "127.0.0.1 1") as server,
        pytest.raises(LabError, match="is a replica"),
    ):
        check(Plan(server=server.url, keys=SMALL))


@pytest.mark.parametrize("kind", SERVERS)
def test_a_cluster_is_said(kind: str, tmp_path: Path) -> None:
    """A key's node is not chosen by the lab."""
    require(kind)
    with (
        Server(kind, tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server,
        pytest.raises(LabError, match="is a node of a cluster"),
    ):
        check(Plan(server=server.url, keys=SMALL))


def test_other_urls_are_said() -> None:
    """One that unstale knows, but the lab cannot measure."""
    with pytest.raises(LabError, match="cannot measure redis\\+sentinel://host/name"):
        check(Plan(server="redis+sentinel://host/name", keys=SMALL))


def test_too_little_memory_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With how many keys would fit: a gigabyte, less what is spared, has room for some 180,000."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_073_741_824))
    with pytest.raises(LabError, match=r"1,000,000 keys take about 2,970 MB, and this machine has 537 MB.*180,000"):
        check(Plan(keys=1_000_000))


@pytest.mark.parametrize(("policy", "said"), [("noeviction", "has"), ("allkeys-lru", r"it evicts.*allkeys-lru\) has")])
def test_a_server_whose_memory_is_limited_is_said(own_server: Server, policy: str, said: str) -> None:
    """It would refuse the keys; or evict, and with them what else the user has there."""
    with own_server.client as client:
        client.config_set("maxmemory", "50mb")
        client.config_set("maxmemory-policy", policy)
    with pytest.raises(LabError, match=rf"200,000 keys take about 594 MB, and .*{said} \d+ MB"):
        check(Plan(server=own_server.url))
    check(Plan(server=own_server.url, keys=SMALL))


def test_all_variants_apply_to_a_server_of_the_labs() -> None:
    """On a machine with two cores."""
    assert {applies(Plan(), one) for one in VARIANTS.values()} <= {None, "needs a machine with more than one core"}


def test_one_core_makes_no_bigger_node(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to scale up to."""
    monkeypatch.setattr(preconditions, "cores", lambda: 1)
    assert applies(Plan(), VARIANTS["bigger-node"]) == "needs a machine with more than one core"
    assert applies(Plan(), VARIANTS["baseline"]) is None


def test_the_users_server_is_not_changed() -> None:
    """So what needs another server is left out, with the reason; a second one beside it is the lab's."""
    plan = Plan(server="redis://127.0.0.1:6379/1")
    left_out = [name for name, variant in VARIANTS.items() if applies(plan, variant)]
    assert left_out == ["bigger-node", "smaller-node"]


def test_cores_are_those_of_this_process() -> None:
    """In a container or under taskset, fewer than the machine's."""
    assert 1 <= preconditions.cores() <= (os.cpu_count() or 1)
