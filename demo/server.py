"""The server that a run works on, and the server's own account of what it did.

The embedded Valkey, started anew for each variant; or a server of the user's, where everything stays under one prefix
and is removed at the end. What the account means is not decided here.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import redis

from unstale.errors import UnstaleError
from unstale.stores.embedded import OWN_PREFIX, EmbeddedServer

END_SECONDS = 5.0
"""How long the embedded server may take to end."""
CONNECT_SECONDS = 3.0


class DemoError(Exception):
    """What stops the demo, with the remedy."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a variant runs."""

    url: str
    prefix: str
    """What all keys of this run begin with."""
    directory: Path
    """For the database's file."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The server's counters at one moment."""

    at: float
    """Seconds of the monotonic clock."""
    cpu_seconds: float
    """What the engine's main thread has used."""
    trips: int
    """How often it has read from a client: a round trip each."""
    command_seconds: Mapping[str, float]
    """By command: the time inside it."""


@contextmanager
def place(url: str | None, variant: str) -> Iterator[Place]:
    """An empty place for one variant: a new embedded server, or a prefix of our own on the user's server."""
    directory = Path(tempfile.mkdtemp(prefix=OWN_PREFIX))
    try:
        if url is None:
            with _embedded(directory) as own:
                yield Place(own, "demo", directory)
        else:
            prefix = f"unstale-demo-{os.urandom(4).hex()}-{variant}"
            with _removed_at_the_end(url, prefix):
                yield Place(url, prefix, directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _embedded(directory: Path) -> Iterator[str]:
    """Start the embedded server; end it. Its keeper removes the directory, also after a kill -9 of this process."""
    try:
        server = EmbeddedServer(directory)
    except UnstaleError as error:
        raise DemoError(f"The embedded server does not start. {error}") from error
    try:
        yield server.url
    finally:
        server.leave()
        deadline = time.monotonic() + END_SECONDS
        while directory.exists() and time.monotonic() < deadline:
            time.sleep(0.02)


@contextmanager
def _removed_at_the_end(url: str, prefix: str) -> Iterator[None]:
    try:
        yield
    finally:
        with contextlib.closing(redis.Redis.from_url(url)) as client:
            batch = []
            for name in client.scan_iter(match=f"{prefix}*", count=1000):
                batch.append(name)
                if len(batch) == 1000:
                    client.unlink(*batch)
                    batch.clear()
            if batch:
                client.unlink(*batch)


def check(url: str) -> None:
    """Reach the user's server.

    Raises:
        DemoError: the URL makes no sense, or nobody answers there.
    """
    hint = "Start one there, name another with --url or UNSTALE_URL, or name none: then the demo brings its own."
    try:
        with contextlib.closing(redis.Redis.from_url(url, socket_connect_timeout=CONNECT_SECONDS)) as client:
            client.ping()
    except ValueError as error:
        raise DemoError(f"{_shown(url)} is no URL of a server: {error}. {hint}") from error
    except redis.RedisError as error:
        raise DemoError(f"No server can be used at {_shown(url)}: {type(error).__name__}. {hint}") from error


def _shown(url: str) -> str:
    """A URL without what may be a password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def name_of(url: str) -> str:
    """What the server calls itself."""
    with contextlib.closing(redis.Redis.from_url(url)) as client:
        told: dict[str, Any] = client.info("server")
    if "valkey_version" in told:
        return f"Valkey {told['valkey_version']}"
    return f"Redis {told['redis_version']}"


def sample(client: Any) -> Sample:
    """Ask the server for its counters."""
    cpu: dict[str, float] = client.info("cpu")
    stats: dict[str, int] = client.info("stats")
    commands: dict[str, dict[str, float]] = client.info("commandstats")
    # macOS does not tell a thread's time apart: there it is the whole process's.
    suffix = "_main_thread" if "used_cpu_user_main_thread" in cpu else ""
    return Sample(
        at=time.monotonic(),
        cpu_seconds=cpu[f"used_cpu_user{suffix}"] + cpu[f"used_cpu_sys{suffix}"],
        trips=stats["total_reads_processed"],
        command_seconds={name.removeprefix("cmdstat_"): one["usec"] / 1e6 for name, one in commands.items()},
    )
