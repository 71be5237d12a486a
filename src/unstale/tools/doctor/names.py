"""Names to shapes: `shop:1:user:42:orders` to `shop:1:user:*:orders`. So a report tells of patterns, not of users.

What is kept is what many names have in common; all else is a star. Stars are:

- numbers, UUIDs, digests and tokens, by their look; what has an @ in it, and what cannot be shown;
- words that only few names have at their place, or where very many different ones stand (`user:anna`, `user:berta`, …).

What looks like a number but is short and the same in all names alike stays: it is a version, not an id. So does a word
that many names have, whatever it is: nobody knows a user who has many keys from a kind of keys.

Patterns of KEYS and SCAN come out of code, and few at a time. There single words stay where there are few patterns.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import zip_longest
from typing import Final, TypeAlias

from unstale.tools.wording import printable

STAR: Final = "*"
"""What stands for what differs, in a name."""
ID: Final = "{id}"
"""The same in a pattern, where a star is the pattern's own. It is how TAG_PATTERNS are written."""
FEW: Final = 3
"""From so many names alike on, what is the same in all of them stays; a word that fewer have does not."""
SHARE: Final = 200
"""And a word that fewer than one of so many names has does not, either."""
LONGEST_CONSTANT: Final = 3
"""Digits of a number that may be a version."""
MANY: Final = 20
"""Different words at one place, from which on the rare ones are ids; and patterns, up to which single words stay."""
MOST_SEGMENTS: Final = 24
"""Of a name, separators included; what follows is one id."""
MOST_CHARS: Final = 512
"""Of a name; what follows is one id."""
LONGEST: Final = 200
"""Characters of a shape."""
LONGEST_WORD: Final = 19
"""Letters of a word, and of several written as one."""
LONGEST_WITH_DIGITS: Final = 15
"""The same, where digits are among them."""
SHORTEST_HUMP: Final = 3
"""Letters of a part of a CamelCase word, on the average: where they are fewer, it is none."""
_SEPARATOR: Final = re.compile(r"([:/|,;{}\[\]()#=&?\s]+)")
_DOTS: Final = re.compile(r"(\.+)")
_ADDRESS: Final = re.compile(r"@|%40")
_ESCAPED: Final = re.compile(r"\\(?:x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
"""As `text_of` writes what cannot be shown."""
_RUN: Final = re.compile(r"[0-9A-Za-z]+")
_HUMP: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
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
    return printable(name.decode("utf-8", "backslashreplace"))


def shapes(names: Sequence[str], mark: str = STAR) -> list[str]:
    """The shape of each name, in the same order. Names alike have equal shapes.

    Args:
        names: printable, as `text_of` makes them.
        mark: what stands for what differs: STAR in names, ID in patterns.
    """
    rows = [_segments(name) for name in names]
    _collapse(list(range(len(rows))), rows, 0, _least(len(rows), mark))
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        alike[tuple(template for template, _ in row)].append(number)
    found = [""] * len(rows)
    for templates, members in alike.items():
        shape = _shape(templates, [rows[member] for member in members], mark)
        for member in members:
            found[member] = shape
    return found


def _least(names: int, mark: str) -> int:
    """How many names must have a word for it to stay."""
    return 1 if mark == ID and names <= MANY else max(FEW, -(-names // SHARE))


def _segments(name: str) -> list[_Segment]:
    """A name's parts, and between them what separates them: these have the odd places."""
    parts: list[_Segment] = []
    for part in _SEPARATOR.split(name[:MOST_CHARS].replace(_HOLE, "\\x00")):
        if len(parts) % 2:
            parts.append((part, ()))
        elif _ADDRESS.search(part):
            parts.append(_WORD)
        else:
            parts += map(_segment, _DOTS.split(part))
    cut = len(name) > MOST_CHARS or len(parts) > MOST_SEGMENTS
    return [*parts[:MOST_SEGMENTS], _WORD] if cut else parts


def _segment(part: str) -> _Segment:
    if _ESCAPED.search(part) or any(map(_is_token, _RUN.findall(part))):
        return _WORD
    return _ID.sub(_HOLE, part), tuple(_ID.findall(part))


def _is_token(run: str) -> bool:
    """Whether letters and digits are no word, nor several written as one, nor an id as a whole, by their look."""
    if _ID.fullmatch(run):
        return False
    if len(run) > (LONGEST_WORD if run.isalpha() else LONGEST_WITH_DIGITS):
        return True
    is_mixed = not (run.islower() or run.isupper() or run.istitle())
    return is_mixed and len(run) < SHORTEST_HUMP * len(_HUMP.findall(run))


def _collapse(members: list[int], rows: list[list[_Segment]], depth: int, least: int) -> None:
    """Among names that are alike so far: words that too few of them have become ids."""
    members = [member for member in members if depth < len(rows[member])]
    words = Counter(rows[member][depth][0] for member in members)
    enough = max(least, -(-len(members) // MANY)) if len(words) > MANY else least
    for member in members if depth % 2 == 0 else ():
        word = rows[member][depth][0]
        if word and (words[word] < enough or (words[word] == 1 and "-" in word)):
            rows[member][depth] = _WORD
    groups: dict[str, list[int]] = defaultdict(list)
    for member in members:
        groups[rows[member][depth][0]].append(member)
    for group in groups.values():
        _collapse(group, rows, depth + 1, least)


def _shape(templates: Sequence[str], rows: Sequence[list[_Segment]], mark: str) -> str:
    """The shape of names with the same templates: holes are marked, but for small numbers that are always the same."""
    text = []
    for depth, template in enumerate(templates):
        filled = _filled(template.count(_HOLE), [row[depth][1] for row in rows])
        text.append("".join(map("".join, zip_longest(template.split(_HOLE), filled, fillvalue=""))))
    shape = re.sub(f"{_HOLE}(?:[_-]?{_HOLE})*", mark, "".join(text))
    return shape if len(shape) <= LONGEST else f"{shape[: LONGEST - 1]}…"


def _filled(holes: int, held: Sequence[tuple[str, ...]]) -> list[str]:
    """What stands in the holes at one place. Of words that became ids there is nothing to fill in."""
    if any(len(ids) != holes for ids in held):
        return [_HOLE] * holes
    return [_constant(values) or _HOLE for values in zip(*held, strict=True)]


def _constant(values: Sequence[str]) -> str | None:
    """The small number that stands at one place of all names alike, if it is one."""
    first = values[0]
    return first if len(values) >= FEW and len(first) <= LONGEST_CONSTANT and set(values) == {first} else None
