"""A primary and its replica, watched by three sentinels, who say which is which. All real processes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Final

from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.layouts import Own, follows, is_followed, reconnect, revive, role_of
from unstale.tools.chaos.servers import HOST, Server, until

SERVICE: Final = "chaos"
COUNT: Final = 3
QUORUM: Final = 2
PATIENT_MILLISECONDS: Final = 5000
"""After which a silent server counts as down. Less would fail over where a machine is merely busy."""
_SETTINGS: Final = (
    f"sentinel down-after-milliseconds {SERVICE} {PATIENT_MILLISECONDS}",
    f"sentinel failover-timeout {SERVICE} 10000",
    "sentinel resolve-hostnames no",
)


class Sentinel(Server):
    """One sentinel. It writes what it learns into its configuration, and knows it again after a restart."""

    def __init__(self, program: str, directory: Path, primary: Server) -> None:
        """Start nothing yet."""
        super().__init__(program, directory)
        path = directory / "sentinel.conf"
        lines = [f"port {self.port}", f"bind {HOST}", f"dir {directory}"]
        lines += [f"sentinel monitor {SERVICE} {HOST} {primary.port} {QUORUM}", *_SETTINGS]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self._command = [program, str(path), "--sentinel"]

    def names(self) -> int:
        """The port of the primary, by its word; the new one's from the moment on when a failover has begun to count."""
        answer: list[bytes] | None = self.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
        return int(answer[1]) if answer else 0

    def state(self) -> dict[bytes, bytes]:
        """What it knows of the service."""
        told: list[bytes] = self.ask("SENTINEL", "MASTER", SERVICE)
        return dict(zip(told[::2], told[1::2], strict=True))

    def counts_on_failing_after(self, milliseconds: int) -> None:
        """Take a silent server for down so soon."""
        self.ask("SENTINEL", "SET", SERVICE, "down-after-milliseconds", milliseconds)


class Sentinels(Own):
    """All of them. Subjects are told the sentinels' addresses alone."""

    def __init__(self, program: str, directory: Path) -> None:
        """Start all, and wait until they know each other."""
        servers = [Server(program, directory / name) for name in ("first", "second")]
        self.sentinels = [Sentinel(program, directory / f"sentinel{n}", servers[0]) for n in range(COUNT)]
        super().__init__(servers)

    @property
    def url(self) -> str:
        """All sentinels', and the service."""
        return f"redis+sentinel://{','.join(f'{HOST}:{one.port}' for one in self.sentinels)}/{SERVICE}"

    @property
    def primary(self) -> Server:
        """The server that most of the sentinels name.

        Raises:
            ChaosError: they name none of ours.
        """
        named = Counter(one.names() for one in self.sentinels if one.is_running)
        port = named.most_common(1)[0][0] if named else 0
        for server in self.servers:
            if server.port == port:
                return server
        raise ChaosError("The sentinels name no server as the primary.")

    @property
    def replica(self) -> Server:
        """The other one."""
        primary = self.primary
        return next(server for server in self.servers if server is not primary)

    def leading(self) -> list[Server]:
        """The primary."""
        return [self.primary]

    def wait_for(self, heir: Server) -> None:
        """Wait until all sentinels name a server, and it is a primary by its own word."""
        until(lambda: self._names() == {heir.port} and role_of(heir) == "master", "a primary that all sentinels name")

    def heal(self) -> None:
        """See that all run, that all sentinels name one primary, and that the other server follows it."""
        for server in (*self.servers, *self.sentinels):
            server.thaw()
        if not any(one.is_running for one in self.sentinels):  # the very start: the first is primary
            self._begin()
        for one in self.sentinels:
            one.start()
            one.counts_on_failing_after(PATIENT_MILLISECONDS)
        until(lambda: len(self._names()) == 1, "sentinels that name one primary")
        for server in self.servers:
            self._revive(server)
        until(self._is_settled, "sentinels that see a primary, its replica and each other well")

    def close(self) -> None:
        """End all."""
        for one in self.sentinels:
            one.kill()
        super().close()

    def _begin(self) -> None:
        first, second = self.servers
        first.start()
        second.start("--replicaof", HOST, str(first.port))
        until(lambda: follows(second), "a replica that follows its primary")

    def _revive(self, server: Server) -> None:
        """One that is away comes back as what it is now: sentinels would find out only after some 10 seconds."""
        primary = self.primary
        if not server.is_running and server is not primary:
            server.start("--replicaof", HOST, str(primary.port))
        revive(server)
        reconnect(server)

    def _names(self) -> set[int]:
        return {one.names() for one in self.sentinels}

    def _is_settled(self) -> bool:
        primary, replica = self.primary, self.replica
        return (
            role_of(primary) == "master"
            and follows(replica)
            and is_followed(primary)
            and replica.info("replication")["master_port"] == primary.port
            and all(self._sees_well(one.state()) for one in self.sentinels)
        )

    @staticmethod
    def _sees_well(state: dict[bytes, bytes]) -> bool:
        known = (int(state[b"num-other-sentinels"]), int(state[b"num-slaves"]), state[b"flags"])
        return known == (COUNT - 1, 1, b"master")  # the flags say if it is down, or in a failover
