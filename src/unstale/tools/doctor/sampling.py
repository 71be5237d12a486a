"""Some keys of a database: their names' shapes, sizes and ttls, and how unstale's entries and stamps stand to them.

SCAN without a pattern, from the beginning: where keys lie in the server's table is by a hash with a random seed, so the
first ones are a fair sample, and a small keyspace is seen whole. A cluster's node keeps a table for each slot; there
RANDOMKEY is fair.

Of a value no more is read than the head of an entry of unstale's. Names leave this module as shapes.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import redis

from unstale.core.entry import UnreadableError, parse
from unstale.core.keys import Names, is_root, is_stamp_name, parts_of
from unstale.core.layout import MAGIC
from unstale.errors import ConfigurationError
from unstale.tools.doctor.facts import Asker, reading
from unstale.tools.doctor.gate import HEAD_BYTES
from unstale.tools.doctor.names import shapes, text_of
from unstale.tools.doctor.pace import Pace
from unstale.tools.doctor.results import Keyspace, Kind, Shape, Stamps
from unstale.tools.places import Place

MOST_SAMPLED: Final = 4000
"""Keys: a shape of 1 % of the keyspace is then seen some 40 times."""
BATCH: Final = 20
"""Keys asked for in one trip."""
MOST_STAMPS: Final = 400
MOST_SHAPES: Final = 30
IN_VAIN: Final = 20
"""Batches in a row without a new key, after which RANDOMKEY has shown nearly all."""
MINUTE_MS: Final = 60_000
"""A stamp that expires this much before its entry is worth a word; its ttl is renewed at fills only."""
_ABSENT: Final = -2
_FOREVER: Final = -1


@dataclass(slots=True)
class Seen:
    """One key."""

    name: bytes
    ttl_ms: int | None
    """As PTTL has it; None: it is refused."""
    size: int | None
    head: bytes | None
    """What its value begins with, where its name is that of an entry."""
    kind: Kind = "another's"


@dataclass(slots=True)
class Sample:
    """What was seen of a keyspace."""

    seen: list[Seen] = field(default_factory=list)
    whole: bool = False
    stamps: dict[bytes, int] = field(default_factory=dict)
    """Stamps that entries record, and their ttls as PTTL has them."""
    lives: dict[bytes, float] = field(default_factory=dict)
    """Of the stamps that entries record, the longest ttl of such an entry, in ms; infinite for one without."""


class Sampler:
    """Looks at keys of one server's database, at a pace."""

    def __init__(self, asker: Asker, place: Place, pace: Pace, until: float, stop: threading.Event) -> None:
        """Look at nothing yet.

        Args:
            asker: asks the server.
            place: the server.
            pace: rests after each batch.
            until: second of the monotonic clock at which it is to be done.
            stop: ends it at once.
        """
        self._asker = asker
        self._place = place
        self._pace = pace
        self._until = until
        self._stop = stop
        self.found = Sample()
        """What was seen so far."""
        self._refused: set[object] = set()
        self._ended = False

    def sample(self) -> Sample:
        """Look at keys until there are enough, or time is over.

        Raises:
            redis.ConnectionError, redis.TimeoutError: the server is gone.
            SpentError: no more commands may be sent.
        """
        found = self.found
        walk = self._at_random() if self._place.in_cluster else self._from_the_start(found)
        while not (self._ended or self._stop.is_set() or time.monotonic() >= self._until):
            self._pace.batch(lambda: self._look(next(walk, None), found))
            if len(found.seen) >= MOST_SAMPLED:
                break
        self._look_at_stamps(found)
        return found

    def _from_the_start(self, found: Sample) -> Iterator[list[bytes]]:
        """Names by SCAN; on its end the sample is whole."""
        cursor, known = b"0", set[bytes]()
        while True:
            answer = self._asker.ask("SCAN", cursor, "COUNT", BATCH)
            if answer is None:
                yield from self._at_random()
                return
            cursor = str(answer[0]).encode()
            fresh = [name for name in dict.fromkeys(answer[1]) if name not in known]
            known.update(fresh)
            yield fresh
            if cursor == b"0":
                found.whole = True
                return

    def _at_random(self) -> Iterator[list[bytes]]:
        known: set[bytes] = set()
        vain = 0
        while vain < IN_VAIN:
            replies = self._all([("RANDOMKEY",)] * BATCH)
            drawn = dict.fromkeys(name for name in replies if isinstance(name, bytes))
            fresh = [name for name in drawn if name not in known]
            known.update(fresh)
            vain = 0 if fresh else vain + 1
            yield fresh

    def _look(self, names: Sequence[bytes] | None, found: Sample) -> int:
        """Ask what keys are like; how many trips that took, with the one for their names."""
        if not names:
            self._ended = names is None
            return 1
        questions = [
            *(("PTTL", name) for name in names),
            *(("MEMORY USAGE", name, "SAMPLES", "1") for name in names),
            *(("GETRANGE", name, "0", str(HEAD_BYTES - 1)) for name in names if _may_be_entry(name)),
        ]
        answers = iter(self._all(questions))
        ttls, sizes = [next(answers) for _ in names], [next(answers) for _ in names]
        for name, ttl, size in zip(names, ttls, sizes, strict=True):
            head = next(answers) if _may_be_entry(name) else None
            if ttl != _ABSENT and (isinstance(ttl, int) or "PTTL" in self._refused):  # else it has just gone
                found.seen.append(
                    Seen(
                        name,
                        ttl,
                        size if isinstance(size, int) else None,
                        head if isinstance(head, bytes) else None,
                    )
                )
        return 2

    def _look_at_stamps(self, found: Sample) -> None:
        """See to the stamps that the sampled entries record."""
        for seen in found.seen:
            for stamp in stamps_of(seen, here=self._place.in_cluster):
                life = float("inf") if seen.ttl_ms == _FOREVER else seen.ttl_ms or 0.0
                found.lives[stamp] = max(life, found.lives.get(stamp, 0.0))
        stamps = list(found.lives)[:MOST_STAMPS]
        for first in range(0, len(stamps), BATCH):
            if self._stop.is_set():
                return
            batch = stamps[first : first + BATCH]
            self._pace.batch(lambda batch=batch: self._look_at_some(batch, found))  # type: ignore[misc]

    def _look_at_some(self, stamps: Sequence[bytes], found: Sample) -> int:
        for name, ttl in zip(stamps, self._all([("PTTL", name) for name in stamps]), strict=True):
            if isinstance(ttl, int):
                found.stamps[name] = ttl
        return 1

    def _all(self, questions: Sequence[tuple[object, ...]]) -> list[Any]:
        """The answers to questions in one trip; None to each whose command is refused, now or before."""
        refused = frozenset(self._refused)
        with self._asker.client.pipeline(transaction=False) as pipeline:
            for words in questions:
                if words[0] not in refused:
                    pipeline.execute_command(*words)  # type: ignore[no-untyped-call]
            with reading():
                answers = iter(pipeline.execute(raise_on_error=False))
        return [None if words[0] in refused else self._taken(words[0], next(answers)) for words in questions]

    def _taken(self, command: object, answer: Any) -> Any:
        if isinstance(answer, redis.exceptions.NoPermissionError):
            self._refused.add(command)
            self._asker.refuse(str(command), answer)
        return None if isinstance(answer, Exception) else answer


def keyspace_of(sample: Sample, keys: int) -> Keyspace:
    """A sample as the report has it.

    Args:
        sample: what was seen.
        keys: how many there are in the database.
    """
    _name_kinds(sample.seen)
    return Keyspace(
        keys=keys,
        sampled=len(sample.seen),
        whole=sample.whole,
        shapes=list(_shapes(sample.seen)),
        stamps=_stamps(sample),
    )


def _name_kinds(seen: Sequence[Seen]) -> None:
    """Say what each key is: only where entries or stamps are is the rest unstale's, too."""
    namespaces = set()
    for one in seen:
        parts = parts_of(one.name)
        if parts is not None and (is_stamp_name(one.name) or (one.head or b"").startswith(MAGIC)):
            one.kind = "stamp" if parts[1] in {b"s", b"r"} else "entry"
            namespaces.add(parts[0])
    for one in seen:
        parts = parts_of(one.name)
        if one.kind == "another's" and parts is not None and parts[0] in namespaces:
            one.kind = "lease" if parts[1].startswith(b"l") else "other of unstale"


def _shapes(seen: Sequence[Seen]) -> Iterator[Shape]:
    alike: dict[tuple[str, Kind], list[Seen]] = defaultdict(list)
    for one, shape in zip(seen, shapes([text_of(one.name) for one in seen]), strict=True):
        alike[shape, one.kind].append(one)
    for (shape, kind), members in sorted(alike.items(), key=lambda one: -len(one[1]))[:MOST_SHAPES]:
        sizes = [one.size for one in members if one.size is not None]
        known = [one.ttl_ms for one in members if one.ttl_ms is not None]
        ttls = [ttl / 1000 for ttl in known if ttl != _FOREVER]
        yield Shape(
            shape=shape,
            kind=kind,
            sampled=len(members),
            part=len(members) / len(seen),
            bytes_each=statistics.fmean(sizes) if sizes else 0.0,
            without_ttl=1 - len(ttls) / len(known) if known else None,
            ttl=statistics.median(ttls) if ttls else None,
        )


def _stamps(sample: Sample) -> Stamps | None:
    entries = sum(one.kind == "entry" for one in sample.seen)
    if not entries:
        return None
    there = {name: ttl for name, ttl in sample.stamps.items() if ttl != _ABSENT}
    return Stamps(
        entries=entries,
        tags=len(sample.lives),
        looked_at=len(sample.stamps),
        missing=len(sample.stamps) - len(there),
        short=sum(ttl != _FOREVER and ttl + MINUTE_MS < sample.lives[name] for name, ttl in there.items()),
    )


def _may_be_entry(name: bytes) -> bool:
    parts = parts_of(name)
    return parts is not None and parts[1] in {b"e", b"h"}


def stamps_of(seen: Seen, *, here: bool) -> Iterator[bytes]:
    """The names of the stamps that an entry records; roots aside, which every entry has one of.

    Args:
        seen: the key.
        here: only those in the entry's own slot; others are on other nodes.
    """
    parts = parts_of(seen.name)
    if parts is None or not (seen.head or b"").startswith(MAGIC) or seen.head is None:
        return
    try:
        head = parse(seen.head)
    except UnreadableError:  # another format, or more tags than were read
        return
    names = _names(parts[0])
    for tag in head.tags:
        if not is_root(tag) and names is not None:
            stamp = names.stamp(tag)
            if not here or _slot_part(stamp) == _slot_part(seen.name):
                yield stamp


@lru_cache
def _names(namespace: bytes) -> Names | None:
    try:
        return Names(namespace.decode())
    except (ConfigurationError, UnicodeDecodeError):  # no namespace of unstale's
        return None


def _slot_part(name: bytes) -> bytes:
    return name.partition(b"{")[2].partition(b"}")[0]
