"""The faults of a phase, struck one after the other by a thread of the run's process."""

from __future__ import annotations

import threading
import time
from random import Random
from types import TracebackType
from typing import Final, Self

from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.faults import FAULTS
from unstale.tools.chaos.plan import Phase
from unstale.tools.chaos.record import Strike
from unstale.tools.chaos.world import World

LONGEST_SECONDS: Final = 120.0
"""A fault that has not healed by then is a fault of ours."""
FIRST_SECONDS: Final = 0.5
"""The first fault is struck by then: also in a short phase there is one."""


class Striker:
    """Strikes until it is left. A context manager: at its end the last fault has healed.

    Attributes:
        strikes: those that have healed.
    """

    def __init__(self, phase: Phase, world: World, seed: int) -> None:
        """Take what to strike, and where."""
        self.strikes: list[Strike] = []
        self._phase, self._world = phase, world
        self._faults = [FAULTS[name] for name in phase.faults]
        self._random = Random(f"{seed} {phase.name} strikes")
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="striker", daemon=True)

    def __enter__(self) -> Self:
        """Begin, where there is anything to strike."""
        if self._faults:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the end of the fault that is under way."""
        self._stop.set()
        if self._faults:
            self._thread.join(LONGEST_SECONDS)
        if self._thread.is_alive():
            raise ChaosError(f"A fault of the phase {self._phase.name} does not end.")
        if error is None:
            self.check()

    @property
    def is_wanted(self) -> bool:
        """Whether there is to be a fault, and none has been struck yet."""
        return bool(self._faults) and not self.strikes and self._error is None

    def check(self) -> None:
        """Raise what a fault has raised."""
        if self._error is not None:
            raise ChaosError(
                f"A fault of the phase {self._phase.name} failed: {type(self._error).__name__}: {self._error}"
            ) from self._error

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._pause()):
                fault = self._random.choice(self._faults)
                began = time.monotonic_ns()
                what = fault.strike(self._world, self._random)
                self.strikes.append(Strike(fault.name, began, time.monotonic_ns(), what))
        except BaseException as error:  # noqa: BLE001 - `check` raises it
            self._error = error

    def _pause(self) -> float:
        """Until the next fault."""
        drawn = self._random.expovariate(1 / self._phase.every)
        return drawn if self.strikes else min(drawn, FIRST_SECONDS)
