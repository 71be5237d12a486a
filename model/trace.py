"""From the states that a search has been through to a trace that people read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from model.process import Violation
from model.server import show

if TYPE_CHECKING:
    from model.engine import Search, State


def told(search: Search, states: list[State], broken: Violation | None) -> list[str]:
    """The steps through these states, one after the other, and the one that breaks a promise, if one does.

    States do not say which of several interchangeable processes stands where; here each keeps its name.
    """
    lines = []
    values, standing = states[0]
    names = list(standing)
    for following in states[1:]:
        slot, step, reply, then, names = next(move for move in search.moves(values, names) if move[3] == following)
        lines.append(line(search, slot, step, reply))
        values = then[0]
    if broken is not None:
        moves = search.moves(values, names)
        last = next((move for move in moves if isinstance(move[2], Violation)), None)
        lines.append(f"{line(search, last[0], last[1], None)}: {broken}" if last else f"nothing more happens: {broken}")
    return lines


def line(search: Search, slot: int, step: Any, reply: Any) -> str:
    """One step of a trace."""
    name = search.model.processes[slot].name
    where = f"  [{step.code}]" if step.code else ""
    said = f" -> {show(reply)}" if reply is not None else ""
    return f"{name}: {step.label}{said}{where}"
