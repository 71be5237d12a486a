"""A file while it is rewritten, and what comes of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, field

from unstale.tools.audit.results import Finding


@dataclass(frozen=True, slots=True)
class Fix:
    """A file, rewritten.

    Attributes:
        path: relative to what was audited.
        old: its bytes.
        new: its bytes then; the same where nothing could be done.
        done: what was done, a sentence each.
        left: what was left, and why.
    """

    path: str
    old: bytes
    new: bytes
    done: tuple[str, ...]
    left: tuple[str, ...]

    def diff(self) -> Iterator[str]:
        """The difference, as `diff -u` has it."""
        old, new = (each.decode("utf-8", "replace").splitlines(keepends=True) for each in (self.old, self.new))
        yield from difflib.unified_diff(old, new, f"a/{self.path}", f"b/{self.path}")


@dataclass(slots=True)
class Edit:
    """A file that is being rewritten.

    Attributes:
        old: its bytes.
        new: its bytes as far as it is rewritten.
        done: what was done, a sentence each.
        left: what was left, and why.
    """

    old: bytes
    new: bytes = b""
    done: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Nothing is rewritten yet."""
        self.new = self.old

    def leave(self, finding: Finding, why: str) -> None:
        """Say that a finding stays."""
        place = f"cell {finding.cell}:{finding.line}" if finding.cell is not None else str(finding.line)
        self.left.append(f"{finding.path}:{place}: {finding.rule} is left: {why}")

    @property
    def matters(self) -> bool:
        """Whether there is anything to say of it."""
        return self.new != self.old or bool(self.left)

    def fix(self, path: str) -> Fix:
        """What came of it."""
        return Fix(path, self.old, self.new, tuple(self.done), tuple(self.left))
