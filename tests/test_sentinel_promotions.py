"""redis+sentinel:// while one primary follows another: asked for, or because the primary died, or with a lagging heir.

What readers are given is judged as in `traffic`: the versions of rows that writers change and invalidate.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from clusters import until
from sentinels import SERVICE, Deployment, Sentinel
from servers import Server, require
from traffic import Traffic

ROWS = [f"row:{number}" for number in range(12)]
STAMP = f"traffic:s:{{{ROWS[0]}}}"
KILLS = 2
PROMOTIONS = 3
SOAKED = 50


class Seesaw(Deployment):
    """Sentinels that ask and act at short intervals, and two servers that follow each other."""

    @property
    def servers(self) -> tuple[Server, Server]:
        return self.primary, self.replica

    @property
    def current(self) -> Server:
        """The server that all sentinels name."""
        (port,) = self.addresses()
        return next(server for server in self.servers if server.port == port)

    @property
    def other(self) -> Server:
        return next(server for server in self.servers if server is not self.current)

    def hasten(self) -> None:
        """Let the sentinels look every half a second where they would every ten, so that a test takes seconds."""
        for sentinel in self.sentinels:
            for name, milliseconds in (("info-period", 500), ("publish-period", 300), ("ask-period", 300)):
                sentinel.ask("SENTINEL", "DEBUG", name, str(milliseconds))
            sentinel.ask("SENTINEL", "SET", SERVICE, "down-after-milliseconds", "2000", "failover-timeout", "4000")

    def promote(self) -> None:
        """Have the sentinels make the other server primary, and wait until all of them say so.

        They are asked again where a failover came to nothing.
        """
        heir = self.other

        def is_done() -> bool:
            named = self.addresses()
            if heir.port not in named:
                self.sentinels[0].ask("SENTINEL", "FAILOVER", SERVICE)  # an error while one is under way
            return named == {heir.port}

        until(is_done)

    def follow(self) -> None:
        """Wait until the old primary follows the new one, in the eyes of all sentinels: it may be the next.

        A sentinel that saw the next failover before this would make the new primary a replica once more.
        """
        until(lambda: all(self._sees_it_follow(sentinel) for sentinel in self.sentinels))
        with self.other.client as client:
            until(lambda: client.info("replication")["master_link_status"] == "up")

    @staticmethod
    def _sees_it_follow(sentinel: Sentinel) -> bool:
        (state,) = sentinel.ask("SENTINEL", "REPLICAS", SERVICE)
        known = dict(zip(state[::2], state[1::2], strict=True)) if isinstance(state, list) else state
        return (known["role-reported"], known["master-link-status"]) == ("slave", "ok")

    def lose(self) -> Server:
        """Kill the primary, and wait until the sentinels have made the other one primary; what was killed."""
        lost, heir = self.current, self.other
        lost.kill()
        until(lambda: self.addresses() == {heir.port})
        return lost


@pytest.fixture(scope="module")
def seesaw(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seesaw]:
    """The module's sentinels and servers; any of the two may be primary."""
    require("redis")
    with Seesaw(tmp_path_factory.mktemp("seesaw")) as started:
        started.hasten()
        yield started


@pytest.fixture
def traffic(seesaw: Seesaw) -> Iterator[Traffic]:
    """Readers and writers."""
    with Traffic(seesaw.url, ROWS) as flowing:
        yield flowing


def promoted(seesaw: Seesaw, traffic: Traffic, times: int) -> None:
    """Promote forth and back; every row is written and served from the cache after each."""
    for _ in range(times):
        seesaw.promote()
        with seesaw.current.client as new:
            wait_for_writers(new)
        traffic.flows()
        seesaw.follow()


def wait_for_writers(new: redis.Redis) -> None:
    """Wait until somebody has invalidated at the new primary; before, all are where they were."""
    stamp = new.get(STAMP)
    until(lambda: new.get(STAMP) != stamp)


def test_promoted_forth_and_back_under_load(seesaw: Seesaw, traffic: Traffic) -> None:
    """Promoted again and again, while the old primary goes on as one for a while, nobody is given what is stale."""
    promoted(seesaw, traffic, PROMOTIONS)
    assert traffic.is_as_promised()


def test_the_primary_is_killed_under_load(seesaw: Seesaw, traffic: Traffic) -> None:
    """When the primary dies the sentinels agree on another, and all goes on there; it comes back empty as a replica."""
    for _ in range(KILLS):
        lost = seesaw.lose()
        traffic.flows()
        lost.start()
        seesaw.follow()
    assert traffic.is_as_promised()


def test_the_heir_lags(seesaw: Seesaw, traffic: Traffic) -> None:
    """A replica that missed invalidations is promoted: what it still has is nobody's."""
    current, heir = seesaw.current, seesaw.other
    with current.client as old, heir.client as new:
        old.execute_command("ACL", "SETUSER", "default", "-psync", "-sync")
        old.execute_command("CLIENT", "KILL", "TYPE", "replica")
        until(lambda: new.info("replication")["master_link_status"] == "down")
        entries = set(new.keys("traffic:e:*"))
        traffic.flows()  # what is invalidated and filled now, the replica does not hear of
        assert seesaw.lose() is current
        assert entries <= set(new.keys("traffic:*"))
    traffic.flows()
    current.start()
    seesaw.follow()
    assert traffic.is_as_promised()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_promoted_fifty_times_under_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same fifty times, at the sentinels' own pace: the old primary goes on as one for ten seconds each time."""
    require("redis")
    began = time.monotonic()
    with Seesaw(tmp_path / "seesaw") as seesaw, Traffic(seesaw.url, ROWS) as traffic:
        promoted(seesaw, traffic, SOAKED)
        with capsys.disabled():
            seconds = time.monotonic() - began
            print(f"\n{SOAKED} promotions in {seconds:.0f} s: {traffic.judge}")  # noqa: T201 - what a soak is for
        assert traffic.is_as_promised()
