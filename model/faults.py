"""What servers and networks do to a cache: keys are lost, packets arrive late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from model.process import WAIT, Operation, Run, Step
from model.server import World, unlink


def evicting(*names: str) -> Operation:
    """The server loses one of these keys: evicted, or its ttl is over."""

    def lose(name: str) -> Step:
        return Step(f"the {name} is evicted", "", lambda world: name if unlink(world.keys, name) else WAIT)

    def run() -> Run:
        yield tuple(lose(name) for name in names)

    return run


def flush() -> Run:
    """FLUSHALL, or a restart that comes up empty."""

    def act(world: World) -> str:
        world.keys.clear()
        return "empty"

    yield Step("FLUSHALL", "", act)


def delivering(arrive: Callable[[Any, Any], Any]) -> Operation:
    """A packet that was cut off from its sender (`world.late`) arrives, by its command."""

    def act(world: Any) -> Any:
        if not world.late:
            return WAIT
        packet, *rest = world.late
        world.late = tuple(rest)
        return arrive(world, packet)

    def run() -> Run:
        yield Step("the late packet arrives", "", act)

    return run
