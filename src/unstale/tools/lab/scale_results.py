"""What `unstale lab scale` measured: the cost of one invalidation and one read, by method and size of the keyspace.

No clock, no server, no drawing. `scale.json` is a `ScaleResults`; the curves can be drawn from it again at any time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from unstale.tools import stored

FORMAT: Final = 1
Verb: TypeAlias = Literal["invalidate", "read"]
VERBS: Final[tuple[Verb, ...]] = ("invalidate", "read")


class ScalePoint(msgspec.Struct, frozen=True, kw_only=True):
    """What one verb cost with one method, in a keyspace of one size."""

    method: str
    """How it is kept up to date: one of `scale_plan.METHODS`."""
    keys: int
    """In the database, all users' together."""
    keys_per_user: int
    """Of the user whose keys are invalidated, or of whom one is read."""
    verb: Verb
    engine_us: float
    """CPU of the server's main thread for one call, in microseconds, less what it uses when idle: the median round."""
    engine_us_low: float
    """The same: the lower quartile of the rounds."""
    engine_us_high: float
    """The same: the upper quartile."""
    trips: float
    """How often the server read from the client for one call: a round trip each, several if the call is long."""
    rounds: int
    """How many were measured."""
    client_us: float
    """CPU of the client for one call, in microseconds: the median."""


class ScaleResults(msgspec.Struct, kw_only=True):
    """A run of `unstale lab scale`, whole or in part."""

    format: int = FORMAT
    points: list[ScalePoint] = []
    versions: dict[str, str] = {}
    """Of Python, the libraries and the server."""
    machine: dict[str, str] = {}
    """Cores, memory, system: what a reader needs to compare; no names."""
    seed: int = 1
    skipped: list[str] = []
    """What was not measured, a sentence each, with its reason."""


def write(results: ScaleResults, path: Path) -> None:
    """Write it whole or not at all, a line for each point. Raises OSError if it cannot be written."""
    stored.write(results, path, each="method")


def read(path: Path) -> ScaleResults:
    """A run that was written before.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    return stored.read(path, ScaleResults, called="`unstale lab scale`", current=FORMAT)
