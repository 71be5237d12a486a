"""The classes of commands by which a server's work is told: `engine`'s, with what walks the keyspace apart from scans.

A table, and nothing else. What a command is for cannot be seen in its name: SCAN also lists, and UNLINK also tidies up
after a pattern. Who knows more (what ran together, for which pattern) may tell them apart further.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from unstale.tools import engine

WorkClass: TypeAlias = Literal["reads", "writes", "deletes", "patterns", "scans", "scripts", "other"]
CLASSES: Final[tuple[WorkClass, ...]] = ("reads", "writes", "deletes", "patterns", "scans", "scripts", "other")

WALKS: Final = frozenset({"keys", "scan"})
"""What walks the keyspace of the whole database: the first half of a delete by pattern."""
CLASS_OF: Final[Mapping[str, WorkClass]] = {**engine.CLASS_OF, **dict.fromkeys(WALKS, "patterns")}
"""By a command's name in lower case, subcommands by that of the whole; what is not here is `other`.

`deletes` are those by key, `scans` those within one key (SSCAN, HSCAN, ZSCAN)."""
DELETES: Final = frozenset(name for name, kind in CLASS_OF.items() if kind == "deletes")


def class_of(command: str) -> WorkClass:
    """The class of a command, by its name in lower case."""
    return CLASS_OF.get(command, "other")
