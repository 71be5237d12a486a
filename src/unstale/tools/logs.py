"""The logs of a tool's processes, as a message shows them. Nothing is logged here."""

from __future__ import annotations

from pathlib import Path
from typing import Final

TAIL_LINES: Final = 20


def tail(log: Path | None) -> str:
    """The end of a log; empty if there is none, or nothing in it."""
    if log is None or not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:])
