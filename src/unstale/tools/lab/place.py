"""Where a variant runs: addresses and a folder, without anything that starts or ends them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from unstale.tools.lab.plan import Plan


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """All that the system under test is told."""

    cache_url: str
    """The server under test, with its database."""
    config_url: str
    """The server that holds the configuration: the same one, or the second node."""
    broker_url: str | None
    """Celery's broker, a server of its own; None where the variant has no tasks."""
    prefix: str
    """What all keys of this run begin with."""
    directory: Path
    """For the database, the logs and the sockets of this variant."""
    database_url: str
    """As `SHOP_DATABASE` has it: sqlite:///a/file, or postgres://user:password@host:port/name."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """All that the load process is told."""

    base_url: str
    """Where the site answers."""
    plan: Plan
    window_at: float
    """The second of the monotonic clock at which the measured time begins. The warm-up is just before it."""
    out: Path
    """Where the requests are to be written, as a `results.Requests` in JSON."""
