"""What `unstale lab scale` is to measure, and for how long: methods, keyspaces, rounds. Nothing is started here.

A *station* is one keyspace: so many keys in the database in all, so many of them each user's own. All methods are
measured in the same one, on users of their own; whoever else's keys are there are others', who are never invalidated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from unstale.errors import ConfigurationError
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.preconditions import BYTES_PER_KEY, SPARE_PART
from unstale.tools.lab.scale_results import Verb

METHODS: Final = {
    "unstale": "unstale: delete_pattern of a declared pattern, which is one write of a stamp",
    "timestamps": "time stamps: the article's scheme, values and users carry times",
    "known-keys": "known keys: an index of each user's keys, which are deleted by name",
    "pattern-deletes-1000": "django-redis: delete_pattern with itersize=1,000",
    "pattern-deletes": "django-redis: delete_pattern as it comes (itersize 10)",
}
"""The methods, with what each stands for. In a round the dearest comes last."""
KEYSETS: Final = {
    "unstale": 1,
    "timestamps": 2,
    "known-keys": 3,
    "pattern-deletes-1000": 4,
    "pattern-deletes": 4,
}
"""Whose keys a method is measured on: both forms of delete_pattern need the same ones, and share them."""
WALKS: Final = frozenset({"pattern-deletes-1000", "pattern-deletes"})
"""Those whose invalidation looks at every key of the database."""
STAMPS: Final = frozenset({"unstale", "timestamps"})
"""Those whose invalidation writes one key, as often as one likes."""

MOST_USERS: Final = 500
"""Of each method: so many deletes are enough for one sample."""
MOST_KEYS: Final = 5_000
"""Of one method's users, in all, where they are several."""
PUT_BACK: Final = 2_000
"""Keys of the users who are invalidated at once, where they are several: storing them again takes time."""
ROOM: Final = 2
"""A part of the keyspace that all methods' users may fill together: one in so many keys."""
CALLS: Final = 500
"""Of a cheap operation in one sample: 7 ms and more of the engine, whose clock ticks in microseconds."""
REAL_TO: Final = 2_000_000
"""Up to so many keys others' values are pages as the site answers them; above, they have SMALL bytes."""
SMALL: Final = 16
SMALL_BYTES_PER_KEY: Final = 250
"""Of the server's memory, with a value of SMALL."""


class ScalePlan(msgspec.Struct, frozen=True, kw_only=True):
    """All that a run is made from."""

    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Keys in the database."""
    per_user: tuple[int, ...] = (10, 100, 1_000, 10_000)
    """Keys of each user."""
    methods: tuple[str, ...] = tuple(METHODS)
    rounds: int = 7
    """Samples of each combination, where the time allows."""
    seconds: float = 260.0
    """How long may be measured in all, after which nothing more is begun. Filling the keyspace is in it."""
    server: str = "embedded"
    """As `Plan.server`."""
    seed: int = 1


def bytes_needed(keys: int) -> int:
    """What a keyspace of this size takes in the server, at most."""
    return int(keys * (BYTES_PER_KEY if keys <= REAL_TO else SMALL_BYTES_PER_KEY) * (1 + SPARE_PART))


def keys_like(keys: int) -> int:
    """How many of the lab's usual keys take as much memory as a keyspace of this size."""
    return int(bytes_needed(keys) / BYTES_PER_KEY / (1 + SPARE_PART))


def fitting(plan: ScalePlan, free: float) -> tuple[ScalePlan, list[str]]:
    """The plan with those sizes that fit into memory, and what is left out, each with its reason.

    Args:
        plan: what is wished for.
        free: bytes that the server may take.

    Raises:
        LabError: none of the sizes fits.
    """
    sizes = tuple(keys for keys in plan.sizes if bytes_needed(keys) <= free)
    skipped = [
        f"{keys:,} keys: they take {bytes_needed(keys) / 1e6:,.0f} MB, and there are {max(0.0, free) / 1e6:,.0f}."
        for keys in sorted(set(plan.sizes) - set(sizes))
    ]
    if not sizes:
        raise LabError(f"There is too little memory for any of the sizes. {' '.join(skipped)} Measure smaller ones.")
    return msgspec.structs.replace(plan, sizes=sizes), skipped


class Station(msgspec.Struct, frozen=True, kw_only=True):
    """One keyspace."""

    keys: int
    """In the database, of everybody."""
    per_user: int
    """Keys of each user."""
    users: int
    """Of each method."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.per_user:,} keys a user among {self.keys:,}"


def checked(plan: ScalePlan) -> ScalePlan:
    """The plan, if it can be run.

    Raises:
        ConfigurationError: it cannot.
    """
    unknown = [name for name in plan.methods if name not in METHODS]
    if unknown or not plan.methods:
        what = f"There is no method {', '.join(unknown)}." if unknown else "No method was named."
        raise ConfigurationError(f"{what} There are: {', '.join(METHODS)}.")
    for what, numbers in (("Sizes", plan.sizes), ("Keys of a user", plan.per_user), ("Rounds", [plan.rounds])):
        if not numbers or min(numbers) < 1:
            raise ConfigurationError(f"{what} must be whole numbers from 1 on, at least one of them.")
    if not plan.seconds > 0:
        raise ConfigurationError("The time to measure in must be a number of seconds above 0.")
    return plan


def stations(plan: ScalePlan) -> tuple[list[Station], list[str]]:
    """The keyspaces to measure in, and what is left out, each with its reason.

    They are in such an order that a keyspace is made from the one before it by adding others' keys only: from the
    smallest on, and in one size from that with the most measured keys on.
    """
    found: list[Station] = []
    skipped: list[str] = []
    for keys in sorted(set(plan.sizes)):
        room = keys // ROOM // len(keysets(plan))
        for per_user in sorted(set(plan.per_user)):
            users = min(MOST_USERS, max(1, MOST_KEYS // per_user), room // per_user)
            if users:
                found.append(Station(keys=keys, per_user=per_user, users=users))
            else:
                skipped.append(
                    f"{per_user:,} keys a user among {keys:,}: no room, since half of the keyspace is to be others'; "
                    f"a user of each method may have {room:,} there."
                )
    found.sort(key=lambda station: (station.keys, -station.users * station.per_user, station.per_user))
    return _growing(plan, found, skipped), skipped


def _growing(plan: ScalePlan, found: list[Station], skipped: list[str]) -> list[Station]:
    """Those before which others' keys need not be removed again; the rest is left out."""
    growing: list[Station] = []
    others = 0
    for station in found:
        wanted = station.keys - measured_keys(plan, station)
        if wanted < others:
            skipped.append(f"{station.name}: others have {others:,} there already; choose sizes farther apart.")
        else:
            growing.append(station)
            others = wanted
    return growing


def at_once(method: str, station: Station) -> int:
    """How many users are invalidated before their pages are put back."""
    return 1 if method in WALKS else min(station.users, max(1, PUT_BACK // station.per_user))


def calls(method: str, verb: Verb, station: Station) -> int:
    """How often one sample does it: a user's keys can be deleted once, a stamp can be written again and again."""
    return CALLS if verb == "read" or method in STAMPS else at_once(method, station)


def keysets(plan: ScalePlan) -> set[int]:
    """The sets of users that this plan's methods need."""
    return {KEYSETS[method] for method in plan.methods}


def measured_keys(plan: ScalePlan, station: Station) -> int:
    """Pages of all methods' users; the index of known keys comes on top, a key for each user."""
    return station.users * station.per_user * len(keysets(plan))


def share(left_seconds: float, rest: Sequence[Station]) -> float:
    """Seconds for the first of the stations that remain: in part alike, in part by the size of what is walked.

    Beyond a million keys no more, or one walk of a minute would leave nothing for all that is cheap.
    """
    weights = [min(station.keys, 1_000_000) + 200_000 for station in rest]
    return left_seconds * weights[0] / sum(weights)
