"""What `unstale lab scale` and its measuring process say to each other: JSON, a line each. Nothing is done here."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from unstale.tools.lab.scale_plan import ScalePlan
from unstale.tools.lab.scale_results import Verb


class ScaleJob(msgspec.Struct, frozen=True, kw_only=True):
    """All that the measuring process is told."""

    url: str
    """The server under test, with its database."""
    prefix: str
    """What all keys begin with."""
    plan: ScalePlan


class Doing(msgspec.Struct, frozen=True, tag=True):
    """What is being done now."""

    what: str
    part: float
    """Of the time that there is, how much has gone: 0 to 1."""


class Sampled(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """One sample: means of its calls."""

    method: str
    verb: Verb
    keys: int
    per_user: int
    engine_us: float
    client_us: float
    """CPU of the measuring process."""
    trips: float
    """How often the server has read from the client: it takes several reads for what is longer than 16 KiB."""


class LeftOut(msgspec.Struct, frozen=True, tag=True):
    """What is not measured, or less often than planned."""

    why: str


Told: TypeAlias = Doing | Sampled | LeftOut
