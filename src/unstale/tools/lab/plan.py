"""What the lab is to run: the steps of the story, and the load that is the same for all of them.

Here are names, numbers and sentences; nothing is started, and no file is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from unstale.errors import ConfigurationError
from unstale.tools.choosing import checked_names

Caching: TypeAlias = Literal[
    "pattern-deletes", "pipelined-deletes", "async-deletes", "known-keys", "no-deletes", "timestamps", "unstale",
    "unstale-strict",
]  # fmt: skip
"""How the application keeps a user's history up to date: see `site.caching`."""
PREFIX: Final = "lab-"
"""What all keys of the lab begin with, in a server of the user's own, too."""


class Variant(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the story: how the application caches, and what it is given to do so."""

    name: str
    stands_for: str
    """One line: what this step was in the article, or what it adds to it."""
    caching: Caching
    hiredis: bool = True
    """Whether django-redis parses answers with hiredis, or in Python. unstale always uses hiredis."""
    itersize: int = 10
    """How many keys each SCAN of a pattern delete looks at: DJANGO_REDIS_SCAN_ITERSIZE, by default 10."""
    io_threads: int = 1
    """Of the server, the main thread among them."""
    all_cores: bool = False
    """Whether the server may run on all cores, or is held to one."""
    second_node: bool = False
    """Whether the configuration that every request reads is on a server of its own."""
    core_fraction: float | None = None
    """What part of a core the server may use, at most; None: all of it."""


VARIANTS: Final[Mapping[str, Variant]] = {
    one.name: one
    for one in (
        Variant(
            name="baseline",
            stands_for="the alarm: django-redis, and each action deletes its user's keys by pattern",
            caching="pattern-deletes",
            hiredis=False,
        ),
        Variant(
            name="bigger-node",
            stands_for="scale up: the same on a server with I/O threads and all cores",
            caching="pattern-deletes",
            hiredis=False,
            io_threads=4,
            all_cores=True,
        ),
        Variant(
            name="second-node",
            stands_for="scale out: the same, with the configuration on a second server",
            caching="pattern-deletes",
            hiredis=False,
            second_node=True,
        ),
        Variant(
            name="hiredis",
            stands_for="a small improvement: the same, with answers parsed by hiredis",
            caching="pattern-deletes",
        ),
        Variant(
            name="bigger-scans",
            stands_for="not in the article: the same, with a SCAN of 1,000 keys at a time in place of 10",
            caching="pattern-deletes",
            itersize=1000,
        ),
        Variant(
            name="pipelined-deletes",
            stands_for="another: a client class that deletes in one pipeline, as django-redis does since 5.3",
            caching="pipelined-deletes",
        ),
        Variant(
            name="async-deletes",
            stands_for="another: the deletes in a Celery task, off the request's path",
            caching="async-deletes",
        ),
        Variant(
            name="known-keys",
            stands_for="not in the article: an index of each user's keys, which are deleted by name",
            caching="known-keys",
        ),
        Variant(
            name="no-deletes",
            stands_for="the finding: nothing is invalidated; fast, and wrong",
            caching="no-deletes",
        ),
        Variant(
            name="timestamps",
            stands_for="the article's scheme: values and users carry times",
            caching="timestamps",
        ),
        Variant(
            name="unstale",
            stands_for="one setting changed: the delete_pattern of the baseline's code is one write of a stamp",
            caching="unstale",
        ),
        Variant(
            name="unstale-strict",
            stands_for="the same, closed from before the COMMIT until after it",
            caching="unstale-strict",
        ),
        Variant(
            name="smaller-node",
            stands_for="scale down: unstale, with the server held to a quarter of a core",
            caching="unstale",
            core_fraction=0.25,
        ),
    )
}
"""In the order of the story."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run is made from. Two runs of one plan offer the same requests at the same times."""

    variants: tuple[str, ...] = tuple(VARIANTS)
    server: str = "embedded"
    """`embedded`, `redis-server` (or another program, by its path), or the URL of a server that the user owns."""
    database: Literal["SQLite", "PostgreSQL"] = "SQLite"
    """Of the application."""
    rate: float = 60.0
    """Requests offered, a second; they come at their times whether or not earlier ones were answered (open loop)."""
    seconds: float = 15.0
    """How long each variant is measured."""
    warm_seconds: float = 5.0
    """How long it is under the same load before that."""
    actions: float = 0.1
    """The part of the requests that are user actions: an order each."""
    catalogue: float = 0.2
    """The part of the reads that are of the catalogue, which is the same for all users."""
    users: int = 200
    """Who read and act. Their first pages are what the application caches while the lab runs."""
    together: int = 5
    """Requests of a visit: what a page of an application asks for at about the same time, all by one user."""
    together_seconds: float = 0.1
    """The time within which they come, each at a moment of its own."""
    pages: int = 5
    """Pages of a user's history, of 20 orders each."""
    user_law: float = 1.1
    """The exponent of the Zipf law by which users come."""
    page_law: float = 1.5
    """The same for the pages of a history."""
    keys: int = 200_000
    """How many keys the cache holds beforehand: pages of other users, as JSON."""
    workers: int = 4
    """Processes of gunicorn, of `threads` threads each: so many requests, and deletes, are worked on at a time."""
    threads: int = 1
    grace_seconds: float = 5.0
    """How long answers are waited for at the end. What has not come by then is counted as not completed."""
    load_seconds: float = 0.02
    """How long a history takes to compute after its rows were read, at least: what asks a database over a network, or
    other services, takes so long; a local SQLite file answers in 2 ms.
    """
    ttl: int = 3600
    """Of what the application caches, in seconds."""
    seed: int = 1

    def chosen(self) -> list[Variant]:
        """The variants, in the order in which they were named."""
        return [VARIANTS[name] for name in self.variants]


def variants_of(names: Iterable[str]) -> tuple[str, ...]:
    """These variants' names, checked.

    Raises:
        ConfigurationError: there is no such variant, or none was named.
    """
    return checked_names(names, VARIANTS, "variant", ConfigurationError)
