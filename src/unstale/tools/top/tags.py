"""The hottest tags, without MONITOR: some stamps are read again and again, and each that has changed was bumped.

Which stamps: those that a sample of the keyspace shows, the ones that most sampled entries record first. Two bumps
between two looks count as one, and what is not watched is not seen: the figures are the least that there was.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import redis

from unstale.core.keys import is_stamp_name, parts_of
from unstale.core.stamps import STAMP_SIZE
from unstale.tools.doctor.facts import Asker
from unstale.tools.doctor.names import text_of
from unstale.tools.doctor.sampling import Sample, stamps_of

MOST_WATCHED: Final = 200
"""Stamps: reading them takes the engine about 0.2 ms."""
CLOSED: Final = "closed"
"""What is seen of a stamp that is no string: a tag in flux."""
ALL: Final = "(everything: clear)"
"""What stands for a cache's roots."""


class Hot(NamedTuple):
    """A tag that is watched."""

    tag: str
    """With the namespace before it."""
    changes: int
    """Seen since it is watched."""
    entries: int
    """That record it, of the last sample."""


class Watch:
    """Some stamps, and how often each was seen to change."""

    def __init__(self, *, in_cluster: bool) -> None:
        """Watch nothing yet."""
        self._in_cluster = in_cluster
        self._last: dict[bytes, object] = {}
        self._changes: Counter[bytes] = Counter()
        self._entries: Counter[bytes] = Counter()

    @property
    def count(self) -> int:
        """How many stamps are watched."""
        return len(self._last)

    def choose(self, sample: Sample) -> None:
        """Watch the stamps of a sample; those that were watched and changed stay."""
        self._entries = Counter(name for one in sample.seen for name in stamps_of(one, here=self._in_cluster))
        seen = [one.name for one in sample.seen if is_stamp_name(one.name)]
        changed = [name for name, _ in self._changes.most_common(MOST_WATCHED // 2)]
        recorded = [name for name, _ in self._entries.most_common()]
        chosen = list(dict.fromkeys([*changed, *recorded, *seen]))[:MOST_WATCHED]
        self._last = {name: self._last.get(name) for name in chosen}
        self._changes = Counter({name: count for name, count in self._changes.items() if name in self._last})

    def look(self, asker: Asker) -> int:
        """Read all of them, in one trip; how many have changed since they were last read.

        Raises:
            redis.RedisError: the server is gone, or refuses.
        """
        if not self._last:
            return 0
        names = list(self._last)
        with asker.client.pipeline(transaction=False) as pipeline:
            for name in names:
                pipeline.getrange(name, 0, STAMP_SIZE - 1)
            answers = dict(zip(names, map(_seen, pipeline.execute(raise_on_error=False)), strict=True))
        changed = [name for name, now in answers.items() if self._last[name] not in (None, now) and now]
        self._changes.update(changed)
        self._last.update({name: now for name, now in answers.items() if now})
        return len(changed)

    def hottest(self) -> list[Hot]:
        """All that are watched, the most often changed first. A namespace's roots, which `clear()` changes, are one."""
        changes: Counter[str] = Counter()
        entries: Counter[str] = Counter()
        for name in self._last:
            tag = tag_of(name)
            entries[tag] += self._entries[name]
            changes[tag] = max(changes[tag], self._changes[name])  # one clear changes all roots
        found = [Hot(tag, changes[tag], entries[tag]) for tag in entries]
        return sorted(found, key=lambda one: (-one.changes, -one.entries, one.tag))


def _seen(answer: Any) -> object:
    """What stands for a stamp's state. A missing one is empty: it may come back as another, which is a change."""
    if isinstance(answer, redis.exceptions.NoPermissionError):
        raise answer
    return CLOSED if isinstance(answer, redis.ResponseError) else answer


def tag_of(name: bytes) -> str:
    """The tag of a stamp's name, with its namespace, for people. Of a root, of which each entry has one, it is ALL."""
    parts = parts_of(name)
    if parts is None:
        return text_of(name)
    namespace, segment, rest = (text_of(part) for part in parts)
    if segment == "r":
        return f"{namespace} {ALL}"
    root, _, below = rest.removeprefix("{").partition("}")
    return f"{namespace} {unquote(root)}{below}"
