"""What follows from what was seen: findings with their evidence and a remedy. Pure.

`serious`: it costs much now, or loses data or writes soon. `warning`: change it when you can. `info`: to know; nothing
need be done. What was not seen gives no finding: the report says what was refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from unstale.tools.doctor.findings_engine import of_engine
from unstale.tools.doctor.findings_server import of_server
from unstale.tools.doctor.results import LEVELS, STOPPED, Finding, Node


def findings(nodes: Sequence[Node]) -> list[Finding]:
    """All that follows, the worst first; the same of several servers once, with the worst one's evidence."""
    found: dict[str, list[tuple[Node, Finding]]] = {}
    for node in nodes:
        for one in _of(node):
            found.setdefault(one.id, []).append((node, one))
    return sorted(map(_together, found.values()), key=lambda one: -LEVELS.index(one.level))


def _together(members: Sequence[tuple[Node, Finding]]) -> Finding:
    worst = max((one for _, one in members), key=lambda one: LEVELS.index(one.level))
    return msgspec.structs.replace(worst, nodes=tuple(node.name for node, _ in members))


def _of(node: Node) -> Iterator[Finding]:
    if node.status == "unreachable":
        yield Finding(
            id="unreachable",
            level="serious",
            says="A server cannot be looked at",
            evidence=node.why,
            remedy="See that it runs, and that this machine and this user may reach it.",
        )
        return
    if node.is_own_error:
        yield Finding(
            id="doctor-failed",
            level="warning",
            says="The doctor failed at a server, by an error of its own",
            evidence=f"{node.why} What was seen until then is reported.",
            remedy="Tell those who make unstale: this sentence, and the versions of unstale and of the server.",
        )
    elif node.status == "interrupted" and node.why != STOPPED:
        yield Finding(
            id="interrupted",
            level="serious" if node.engine is None else "warning",
            says="A server was not looked at to the end",
            evidence=f"{node.why} What was seen until then is reported.",
            remedy="See whether it still runs and answers, then look again.",
        )
    yield from of_engine(node)
    yield from of_server(node)
