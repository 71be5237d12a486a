"""The proxy before a server, as the run sees it: it gives orders to a process of its own (`proxy_program`).

It also stands for a name in DNS, or a load balancer: the subjects know its address alone, and it leads new connections
to another server when it is told to; those that are there stay with the old one, unless they are reset.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.proxy_program import Manner, Order, Seen
from unstale.tools.chaos.servers import HOST, LONGEST_SECONDS, free_port
from unstale.tools.logs import tail

PLAIN = Manner()


class Proxy:
    """A proxy that runs. Close it, or use it as a context manager; it ends with this process however that ends."""

    def __init__(self, directory: Path, target: tuple[str, int]) -> None:
        """Start it.

        Args:
            directory: for its log.
            target: the server's host and port.

        Raises:
            ChaosError: it does not start.
        """
        self.port = free_port()
        self.url = f"redis://{HOST}:{self.port}/0"
        self.target = target
        self._log = directory / "proxy.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "unstale.tools.chaos.proxy_program", str(self.port)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._answer()
        self.lead_to(target)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def lead_to(self, target: tuple[str, int]) -> None:
        """Lead new connections to another server; those that are there stay where they are."""
        self._obeyed(Order(target=target))
        self.target = target

    def reset(self, part: float = 1.0) -> int:
        """Reset connections at random; how many it has reset so far."""
        return self._obeyed(Order(reset=part)).reset

    def look(self) -> Seen:
        """What it has seen so far."""
        return self._obeyed(Order())

    def straighten(self) -> None:
        """Let everything pass."""
        self._obeyed(Order(manner=PLAIN))

    @contextmanager
    def behaving(self, manner: Manner) -> Iterator[None]:
        """Treat what passes in a manner meanwhile."""
        self._obeyed(Order(manner=manner))
        try:
            yield
        finally:
            self.straighten()

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=LONGEST_SECONDS)  # its standard input ends

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """End it."""
        self.close()

    def _obeyed(self, order: Order) -> Seen:
        if self._process.stdin is None:  # only for the type checker: it was started with pipes
            raise ChaosError("The proxy hears nothing.")
        try:
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise ChaosError(f"The proxy has ended. Its log ends with:\n{tail(self._log)}") from error
        return msgspec.json.decode(self._answer(), type=Seen)

    def _answer(self) -> bytes:
        line = b"" if self._process.stdout is None else self._process.stdout.readline()
        if not line:
            raise ChaosError(f"The proxy has ended. Its log ends with:\n{tail(self._log)}")
        return line
