"""Going through a cache's keys by SCAN: those that are fresh, or to remove what a glob matches. Page by page.

A page is a few trips, and what is kept is bounded, but for the names that `iter_keys` has given: SCAN may give one
again. A long key stands in its entry's head, not in its name, so all long entries are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from unstale.core.entry import Head, UnreadableError, parse
from unstale.core.freshness import Fresh, judge
from unstale.core.globs import escape, regex_of
from unstale.core.keys import MAX_KEY_BYTES, Names
from unstale.core.keyspace import Keyspace
from unstale.core.ports import HEAD_BYTES, IO, PEEK_BYTES
from unstale.core.stamps import observe
from unstale.errors import StoreUnavailableError

MAX_SERVERS = 4
"""How often a scan begins anew when another server answers: its cursor means nothing there."""


class Walk:
    """One walk through the names of some entries: which, and how far it is.

    Attributes:
        regex: what a whole key must match.
        strip: how many characters of a key are its scope's.
    """

    __slots__ = ("_at", "_count", "_cursor", "_given", "_identity", "_matches", "_servers", "regex", "strip")

    def __init__(self, names: Names, prefix: str, glob: str, count: int, *, leases: bool = False) -> None:
        """Begin at the beginning.

        Args:
            names: the layout.
            prefix: "" or a scope's name with its slash: only its keys are walked through.
            glob: what they match, relative to the scope.
            count: names that the server looks at for each page.
            leases: walk through leases first.
        """
        pattern = escape(prefix) + glob
        self.regex: re.Pattern[bytes] = regex_of(pattern)
        self.strip = len(prefix)
        self._matches = names.globs(pattern.encode(), leases=leases)
        self._count = count
        self._at = self._cursor = 0
        self._identity: bytes | None = None
        self._servers = 0
        self._given: set[bytes] = set()

    @property
    def done(self) -> bool:
        """Whether the end is reached."""
        return self._at >= len(self._matches)

    async def step(self, io: IO) -> list[bytes]:
        """The names of the next page."""
        cursor, names, identity = await io.scan(self._cursor, self._matches[self._at], self._count)
        if identity != self._identity and self._identity is not None:
            self._servers += 1
            if self._servers >= MAX_SERVERS:
                raise StoreUnavailableError("The server changed again and again while its keys were scanned.")
            self._at = self._cursor = 0
            self._identity = None
            return []
        self._identity = identity
        self._cursor = cursor
        if not cursor:
            self._at += 1
        return names

    def is_new(self, key: bytes) -> bool:
        """Whether a key is meant, and has not been given yet."""
        return key not in self._given and self.regex.fullmatch(key) is not None

    def give(self, keys: Iterable[bytes]) -> list[bytes]:
        """Those of these keys that have not been given yet; from now on they have."""
        fresh = [key for key in dict.fromkeys(keys) if key not in self._given]
        self._given.update(fresh)
        return fresh


async def fresh_keys(io: IO, space: Keyspace, walk: Walk) -> list[str]:
    """The next page's keys whose entries are fresh, relative to the scope. Often none, long before the end."""
    heads = await _heads(io, space, await walk.step(io))
    found = [
        (data, head, space.names.root_tag_at(name, head.key)) for name, data, head in heads if walk.is_new(head.key)
    ]
    if not found:
        return []
    tags = sorted({tag for _, head, root in found for tag in (*head.tags, root)})
    values, identity = await io.read([space.names.stamp(tag) for tag in tags])
    current = dict(zip(tags, map(observe, values), strict=True))
    now = io.now()
    judged = [(head.key, judge(data, head.key, (), current, identity, root, now)) for data, head, root in found]
    fresh = walk.give(key for key, verdict in judged if isinstance(verdict, Fresh))
    return [key for key in (_relative(key, walk.strip) for key in fresh) if key]


def _relative(raw_key: bytes, strip: int) -> str:
    """A key as its scope knows it; empty for what is no key of ours."""
    try:
        return raw_key.decode()[strip:]
    except UnicodeDecodeError:
        return ""


async def _heads(io: IO, space: Keyspace, names: Sequence[bytes]) -> list[tuple[bytes, bytes, Head]]:
    """What stands under the names of entries: name, beginning and head of each that is one, under its own name."""
    found: list[tuple[bytes, bytes, Head]] = []
    for size in (HEAD_BYTES, PEEK_BYTES):  # a second trip only for heads that are longer than most
        if not names:
            break
        read = zip(names, (await io.heads(names, size)).heads, strict=True)
        cut: list[bytes] = []
        for name, data in read:
            head = _parsed(data)
            if data is not None and head is not None and space.names.is_entry_of(name, head.key):
                found.append((name, data, head))
            elif data is not None and head is None and len(data) == size:
                cut.append(name)
        names = cut
    return found


def _parsed(data: bytes | None) -> Head | None:
    try:
        head = parse(data) if data is not None else None
    except UnreadableError:
        return None
    return head if head is not None and len(head.key) <= MAX_KEY_BYTES else None


async def delete_matching(io: IO, space: Keyspace, walk: Walk) -> int:
    """Remove what a walk comes to, which begins with the leases; how many entries were removed.

    A fill that was under way when it began has lost its lease when the walk comes to the entries; or it has stored an
    entry by then, which the walk meets, since SCAN gives whatever is there from its beginning to its end.
    """
    removed = 0
    while not walk.done:
        removed += await _remove_page(io, space, await walk.step(io), walk)
    return removed


async def _remove_page(io: IO, space: Keyspace, names: Sequence[bytes], walk: Walk) -> int:
    leases = [name for name in names if (key := space.names.leased(name)) is not None and _has(walk, key)]
    if leases:
        await io.remove(leases)
    entries = [name for name in names if space.names.is_plain(name)]
    distant = [name for name in names if space.names.is_distant(name)]
    entries += [name for name, _, head in await _heads(io, space, distant) if walk.regex.fullmatch(head.key)]
    return await io.remove(entries) if entries else 0


def _has(walk: Walk, key: bytes) -> bool:
    """Whether a lease's key is meant. Of a long key nobody knows; its loader then loads for its caller alone."""
    return not key or walk.regex.fullmatch(key) is not None
