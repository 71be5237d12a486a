"""Names to shapes: `shop:1:user:42:orders` to `shop:1:user:*:orders`. So a report tells of patterns, not of users.

What differs from name to name is replaced: numbers, UUIDs and digests by their look, and words where there are very
many of them at one place (`user:anna`, `user:berta`, …). What looks like a number but is the same in all names alike
stays: it is a version, not an id.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, TypeAlias

STAR: Final = "*"
"""What stands for what differs, in a name."""
ID: Final = "{id}"
"""The same in a pattern, where a star is the pattern's own. It is how TAG_PATTERNS are written."""
FEW: Final = 3
"""From so many names alike on, what is the same in all of them stays."""
LONGEST_CONSTANT: Final = 3
"""Digits of a number that may be a version."""
MANY: Final = 20
"""Different words at one place, from which on the rare ones among them are ids."""
MOST_SEGMENTS: Final = 24
"""Of a name, separators included; what follows is one id."""
_SEPARATOR: Final = re.compile(r"([:/|.,;{}\[\]()@#=&?\s]+)")
_ID: Final = re.compile(
    r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"  # a UUID
    r"|(?<![0-9A-Za-z])(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{6,}(?![0-9A-Za-z])"  # a digest, or a part of one
    r"|(?<![0-9A-Za-z])(?=(?:[A-Za-z_-]*[0-9]){4})[0-9A-Za-z_-]{20,}(?![0-9A-Za-z])"  # a token
    r"|[0-9]+"
)
_HOLE: Final = "\0"
_Segment: TypeAlias = tuple[str, tuple[str, ...]]
"""A part of a name with holes where ids are, and the ids."""
_WORD: Final[_Segment] = (_HOLE, ())
"""In the place of a segment that is an id as a whole."""


def text_of(name: bytes) -> str:
    """A name for people: whatever cannot be shown is escaped."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)


def shapes(names: Sequence[str], mark: str = STAR) -> list[str]:
    """The shape of each name, in the same order. Names alike have equal shapes.

    Args:
        names: printable, as `text_of` makes them.
        mark: what stands for what differs.
    """
    rows = [_segments(name) for name in names]
    _collapse(list(range(len(rows))), rows, 0)
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        alike[tuple(template for template, _ in row)].append(number)
    found = [""] * len(rows)
    for templates, members in alike.items():
        shape = _shape(templates, [rows[member] for member in members], mark)
        for member in members:
            found[member] = shape
    return found


def _segments(name: str) -> list[_Segment]:
    """A name's parts and what separates them."""
    parts = _SEPARATOR.split(name)
    kept = [(_ID.sub(_HOLE, part), tuple(_ID.findall(part))) for part in parts[:MOST_SEGMENTS]]
    return kept if len(parts) <= MOST_SEGMENTS else [*kept, _WORD]


def _collapse(members: list[int], rows: list[list[_Segment]], depth: int) -> None:
    """Among names that are alike so far: where too many words stand at one place, the rare ones become ids."""
    members = [member for member in members if depth < len(rows[member])]
    words = Counter(rows[member][depth][0] for member in members)
    if len(words) > MANY:
        for member in members:
            if words[rows[member][depth][0]] * MANY < len(members):
                rows[member][depth] = _WORD
    groups: dict[str, list[int]] = defaultdict(list)
    for member in members:
        groups[rows[member][depth][0]].append(member)
    for group in groups.values():
        _collapse(group, rows, depth + 1)


def _shape(templates: Sequence[str], rows: Sequence[list[_Segment]], mark: str) -> str:
    """The shape of names with the same templates: holes are marked, but for small numbers that are always the same."""
    text = []
    for depth, template in enumerate(templates):
        pieces = template.split(_HOLE)
        held = zip(*(row[depth][1] for row in rows), strict=True)
        filled = [_constant(values) or _HOLE for values in held] or [_HOLE] * (len(pieces) - 1)
        text.append("".join(map("".join, zip_longest(pieces, filled, fillvalue=""))))
    return re.sub(f"{_HOLE}(?:[_-]?{_HOLE})*", mark, "".join(text))


def _constant(values: Sequence[str]) -> str | None:
    """The small number that stands at one place of all names alike, if it is one."""
    first = values[0]
    return first if len(values) >= FEW and len(first) <= LONGEST_CONSTANT and set(values) == {first} else None
