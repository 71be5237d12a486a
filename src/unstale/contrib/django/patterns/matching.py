"""Which values a pattern's placeholders can have in a key: all of them, in time that grows with the key's length only.

Pure: no Django, no I/O. A pattern is cut at its asterisks into segments. What a segment takes from a given start on is
determined: a placeholder ends at the first occurrence of the character that ends it. So nothing is tried twice:

1. From the left, each segment's first place: behind it, everything to its left has room.
2. From the right, each segment's places between those and what was placed already, one for each different binding.

Whatever step 2 keeps can be completed, so more than MAX_BINDINGS kept are as many bindings, and the search ends there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from unstale.contrib.django.patterns.tokens import ANY, Literal, OneOf, Placeholder, Token

MAX_BINDINGS: Final = 8
"""Most values that one pattern's placeholders have in one key. Each is a tag, and each tag a stamp to read."""

Values: TypeAlias = tuple[bytes, ...]
Place: TypeAlias = "tuple[int, int, tuple[int, ...]]"
"""Where a segment stands in a key: its start and its end, and start and end of each placeholder's value in turn."""


class TooMany(Exception):  # noqa: N818 - caught by the pattern, which says what it means
    """More than MAX_BINDINGS."""


class Segment:
    """What stands between two asterisks: a fixed lead, then what begins with the first placeholder.

    Attributes:
        has_values: whether there is a placeholder in it.
        width: bytes of its lead.
    """

    __slots__ = ("_lead", "_rest", "has_values", "width")

    def __init__(self, tokens: Sequence[Literal | OneOf | Placeholder]) -> None:
        cut = next((at for at, token in enumerate(tokens) if isinstance(token, Placeholder)), len(tokens))
        self._rest = tuple(tokens[cut:])
        self.has_values = bool(self._rest)
        self.width = sum(len(token.raw) if isinstance(token, Literal) else 1 for token in tokens[:cut])
        pattern = b"".join(_regex(token) for token in tokens[:cut])
        if isinstance(first := next(iter(self._rest), None), Placeholder):
            pattern += b"(?![\x80-\xbf])(?=.)" + (b"(?!" + re.escape(first.until) + b")" if first.until else b"")
        self._lead = re.compile(pattern, re.DOTALL)

    def place(self, raw: bytes, start: int) -> Place | None:
        """Place it at a start, if it fits there."""
        if not self._lead.match(raw, start):
            return None
        place = self._placed(raw, start)
        return None if isinstance(place, int) else place

    def places(self, raw: bytes, start: int, limit: int) -> Iterator[Place]:
        """Each place from a start on that ends at the limit or before, from left to right."""
        search = self._lead.search
        while found := search(raw, start):
            start = found.start()
            place = self._placed(raw, start)
            if isinstance(place, int):
                start = place
                continue
            if place[1] > limit:
                return
            yield place
            start += 1

    def _placed(self, raw: bytes, start: int) -> Place | int:
        """What follows a lead.

        Returns:
            The place; if it does not fit there, the next start at which it might.
        """
        spans: tuple[int, ...] = ()
        at, retry = start + self.width, start + 1
        for token in self._rest:
            if isinstance(token, Placeholder):
                end = raw.find(token.until, at) if token.until else _end_of_last(raw, at, token.without)
                if end < 0:
                    return len(raw) + 1 if token.until else retry
                if end <= at or (spans and _is_amid_character(raw, at)):  # the first one is checked by the lead
                    return retry
                if not spans and token.until:  # every start before this end would end here too, and share its fate
                    retry = max(retry, end + 1 - self.width)
                spans = (*spans, at, end)
                at = end
            elif isinstance(token, Literal):
                if not raw.startswith(token.raw, at):
                    return retry
                at += len(token.raw)
            else:
                if at >= len(raw) or raw[at] not in token.members:
                    return retry
                at += 1
        return start, at, spans

    def last_start(self, raw: bytes, start: int, limit: int) -> int:
        """Where the last of those places starts, of a segment without placeholders that has one."""
        found = limit - self.width
        while found > start and not self._lead.match(raw, found):
            found -= 1
        return found


def _regex(token: Token) -> bytes:
    match token:
        case Literal():
            return re.escape(token.raw)
        case OneOf():
            return (
                b"[" + b"".join(b"\\x%02x" % byte for byte in sorted(token.members)) + b"]"
                if token.members
                else b"(?!)"
            )
        case _:
            return b""


def _is_amid_character(raw: bytes, at: int) -> bool:
    """Whether a place lies inside a character's UTF-8: no text begins there."""
    return raw[at] & 0xC0 == 0x80  # noqa: PLR2004 - RFC 3629, section 3


def _end_of_last(raw: bytes, at: int, without: bytes) -> int:
    """The end of a placeholder that runs to the key's end: -1 if it would hold what it cannot."""
    return -1 if without and raw.find(without, at) >= 0 else len(raw)


def values_of(raw: bytes, place: Place) -> Values:
    """What the placeholders hold in a place."""
    spans = place[2]
    if len(spans) == 2:  # noqa: PLR2004 - one value, the usual case
        return (raw[spans[0] : spans[1]],)
    return tuple([raw[spans[at] : spans[at + 1]] for at in range(0, len(spans), 2)])


class Layout:
    """A pattern, cut at its asterisks."""

    __slots__ = ("_has_asterisk", "_head", "_inner", "_prefix", "_tail", "_without_left")

    def __init__(self, tokens: Sequence[Token]) -> None:
        cut: list[list[Literal | OneOf | Placeholder]] = [[]]
        for token in tokens:
            if token is ANY:
                cut.append([])
            else:
                cut[-1].append(token)
        first = cut[0][0] if cut[0] else None
        self._prefix = first.raw if isinstance(first, Literal) else b""
        self._head = Segment(cut[0])
        self._has_asterisk = len(cut) > 1
        self._inner = [Segment(each) for each in cut[1:-1]]
        self._tail = Segment(cut[-1])
        with_values = [at for at, segment in enumerate(self._inner) if segment.has_values]
        self._without_left = with_values[0] if with_values else len(self._inner)
        """How many inner segments stand left of all inner placeholders: where they stand does not matter."""

    def bindings(self, raw: bytes) -> list[Values]:
        """Everything that the placeholders can hold in a key; one empty tuple if it matches without any.

        Raises:
            TooMany: more than MAX_BINDINGS.
        """
        if not raw.startswith(self._prefix):
            return []
        head = self._head.place(raw, 0)
        if head is None:
            return []
        if not self._has_asterisk:
            return [values_of(raw, head)] if head[1] == len(raw) else []
        firsts = self._firsts(raw, head[1])
        if not firsts:
            return []
        placed = self._tails(raw, firsts[-1])
        for at in range(len(self._inner) - 1, self._without_left - 1, -1):
            placed = _extended(raw, self._inner[at], firsts[at], placed)
        before = values_of(raw, head)
        return [before + values for values in placed]

    def _firsts(self, raw: bytes, end: int) -> list[int]:
        """Where each segment may begin at the earliest, the tail too. Empty if one has no place."""
        firsts = [end]
        for segment in self._inner:
            place = next(segment.places(raw, firsts[-1], len(raw)), None)
            if place is None:
                return []
            firsts.append(place[1])
        return firsts

    def _tails(self, raw: bytes, first: int) -> dict[Values, int]:
        """The bindings of the tail, which ends with the key, and where it starts for each."""
        if not self._tail.has_values:
            start = len(raw) - self._tail.width
            return {(): start} if start >= first and self._tail.place(raw, start) else {}
        placed: dict[Values, int] = {}
        for place in self._tail.places(raw, first, len(raw)):
            if place[1] == len(raw):
                _keep(placed, values_of(raw, place), place[0])
        return placed


def _extended(raw: bytes, segment: Segment, first: int, placed: dict[Values, int]) -> dict[Values, int]:
    """The bindings with those of a segment on the left; for each, the last start."""
    if not segment.has_values:
        return {values: segment.last_start(raw, first, limit) for values, limit in placed.items()}
    extended: dict[Values, int] = {}
    if placed.keys() == {()}:  # the usual case: no other placeholder behind an asterisk
        for place in segment.places(raw, first, placed[()]):
            _keep(extended, values_of(raw, place), place[0])
        return extended
    for place in segment.places(raw, first, max(placed.values(), default=-1)):
        own = values_of(raw, place)
        for values, limit in placed.items():
            if place[1] <= limit:
                _keep(extended, own + values, place[0])
    return extended


def _keep(placed: dict[Values, int], values: Values, start: int) -> None:
    placed[values] = start  # places come from left to right: the last one leaves the most room
    if len(placed) > MAX_BINDINGS:
        raise TooMany
