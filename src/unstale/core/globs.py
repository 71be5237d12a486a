r"""Globs as Redis matches them: one translation for keys that a server cannot match, and for stores that are none.

    *  any bytes    ?  one byte    [a-c]  [^a-c]  one byte of these, or of all others    \x  x itself

All is bytes: `?` is one byte, of é it takes two. Oddities are Redis's own (its `stringmatchlen`): a bracket that nobody
closes ends with the glob, `[]` matches nothing, the end of a range may be a closing bracket, a backslash at the end is
a backslash. Only ranges that end in other than ASCII are left to the server's platform, and here to the bytes' order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_ALL = frozenset(range(256))


@lru_cache(maxsize=256)
def regex_of(glob: str | bytes) -> re.Pattern[bytes]:
    """A glob as a regular expression of bytes, for `fullmatch`. It takes no more than linear time for each star."""
    pieces: list[bytes] = [b""]
    for one in _tokens(glob.encode() if isinstance(glob, str) else glob):
        if one is not None:
            pieces[-1] += _class(one)
        elif len(pieces) == 1 or pieces[-1]:  # one star after another says nothing new
            pieces.append(b"")
    first, *rest = pieces
    if not rest:
        return re.compile(first, re.DOTALL)
    *middle, last = rest  # each piece between stars where it first fits (never tried anew), the last one at the end
    return re.compile(first + b"".join(b"(?>.*?" + piece + b")" for piece in middle) + b".*" + last, re.DOTALL)


def escape(text: str) -> str:
    """A glob that matches this text, and nothing else."""
    return re.sub(r"([\\*?[\]])", r"\\\1", text)


def _tokens(glob: bytes) -> Iterator[frozenset[int] | None]:
    """What stands for each byte of a match: the set of bytes that it may be; None for a star."""
    at = 0
    while at < len(glob):
        char = glob[at : at + 1]
        if char == b"[":
            members, at = _bracket(glob, at + 1)
            yield members
            continue
        if char == b"\\" and at + 1 < len(glob):
            at += 1
        if char == b"*":
            yield None
        else:
            yield _ALL if char == b"?" else frozenset({glob[at]})
        at += 1


def _bracket(glob: bytes, at: int) -> tuple[frozenset[int], int]:
    """The bytes of a class whose bracket was opened before `at`, and where the glob goes on."""
    inverted = glob.startswith(b"^", at)
    at += inverted
    members: set[int] = set()
    while at < len(glob) and glob[at] != ord("]"):
        if glob[at] == ord("\\") and at + 1 < len(glob):
            members.add(glob[at + 1])
            at += 2
        elif glob.startswith(b"-", at + 1) and at + 2 < len(glob):
            low, high = sorted((glob[at], glob[at + 2]))
            members.update(range(low, high + 1))
            at += 3
        else:
            members.add(glob[at])
            at += 1
    return (_ALL - members if inverted else frozenset(members)), at + 1


def _class(members: frozenset[int]) -> bytes:
    if not members:
        return b"(?!)"
    if len(members) == len(_ALL):
        return b"."
    return b"[" + b"".join(b"\\x%02x" % member for member in sorted(members)) + b"]"
