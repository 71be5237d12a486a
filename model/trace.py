"""From the states that a search has been through to a trace that people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from model.process import Violation
from model.server import show

if TYPE_CHECKING:
    from model.engine import Search, State


def told(search: Search, before: Mapping[State, State | None], last: State, broken: Violation) -> list[str]:
    """The steps from the beginning to the last state, and the one that then breaks a promise, if it is one.

    States do not say which of several interchangeable processes stands where; here each keeps its name.

    Args:
        search: made the states.
        before: the state before each.
        last: the state in which the promise is broken, or the one before.
        broken: what is.
    """
    way = [last]
    while (earlier := before[way[-1]]) is not None:
        way.append(earlier)
    lines = []
    values, standing = way.pop()
    names = list(standing)
    for following in reversed(way):
        slot, step, reply, then, names = next(move for move in search.moves(values, names) if move[3] == following)
        lines.append(line(search, slot, step, reply))
        values = then[0]
    breaks = next((move for move in search.moves(values, names) if isinstance(move[2], Violation)), None)
    said = line(search, breaks[0], breaks[1], None) if breaks else "nothing more happens"
    return [*lines, f"{said}: {broken}"]


def line(search: Search, slot: int, step: Any, reply: Any) -> str:
    """One step of a trace."""
    name = search.model.processes[slot].name
    where = f"  [{step.code}]" if step.code else ""
    said = f" -> {show(reply)}" if reply is not None else ""
    return f"{name}: {step.label}{said}{where}"
