"""The server of the model: its commands and scripts, each at one moment, as functions on a dict of keys.

`SCRIPTS` has one function for each script of `unstale.stores.scripts`, under its name; a test holds the lists together.
Left out are payloads, and all ttls but the deadlines of closed stamps: a key that expires and one that is evicted look
alike, and scenarios evict what they like when they like. Deadlines are turns of the server's clock that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from model.process import Violation

Keys: TypeAlias = dict[str, Any]
LAG: Final = "lag"
"""`core.stamps.LAG`: the owner for replica_lag, one for all."""
CLOSED: Final = "closed"
"""What a fill or an invalidation is told of a closed stamp; a read is told nothing, as of a missing one."""


class Closed(NamedTuple):
    """A closed stamp, a sorted set: its owners, each with the turns until its deadline; does it stay after the last?"""

    owners: tuple[tuple[str, int], ...]
    kept: bool = False

    def latest(self) -> int:
        """Turns until the last deadline."""
        return max(left for _, left in self.owners)


class Entry(NamedTuple):
    """An entry: the version of the row that its loader saw, the stamps recorded by name, and whose server's they are.

    `mark` tells two entries apart that are equal in all this, as their headers' times do.
    """

    value: int
    stamps: tuple[tuple[str, str | None], ...]
    identity: str = ""
    mark: int = 0


@dataclass
class World:
    """What every scenario has. Scenarios add to it.

    Attributes:
        keys: the server's.
        row: the database's one row, as the number of its version.
        floor: the oldest version that may still be served, by the invalidations that have returned.
        drawn: how many random values were drawn; each is the next number, since only equality counts.
    """

    keys: Keys = field(default_factory=dict)
    row: int = 0
    floor: int = 0
    drawn: int = 0

    def draw(self) -> str:
        """A random value that has never been: `os.urandom`."""
        self.drawn += 1
        return str(self.drawn)


def promise(kept: bool, broken: str) -> None:  # noqa: FBT001 - reads as a sentence
    """Break off where a promise is broken."""
    if not kept:
        raise Violation(broken)


def new_stamp(world: World) -> str:
    """`commands.new_stamp`: a hard half and a soft half."""
    half = world.draw()
    return f"{half}.{half}"


def hard(stamp: str) -> str:
    """A stamp's hard half."""
    return stamp.partition(".")[0]


def soft(stamp: str) -> str:
    """Its soft half."""
    return stamp.partition(".")[2]


def is_fresh(entry: Entry | None, current: dict[str, Any]) -> bool:
    """`freshness.judge`: every recorded stamp equals that tag's stamp now; missing and closed equal nothing."""
    return entry is not None and all(stamp is not None and stamp == current[name] for name, stamp in entry.stamps)


def mget(keys: Keys, *names: str) -> tuple[Any, ...]:
    """MGET: what is no string counts as missing."""
    found = [keys.get(name) for name in names]
    return tuple([None if isinstance(one, Closed) else one for one in found])


def set_nx_get(keys: Keys, name: str, value: str) -> str:
    """SET NX GET: what stands there now; WRONGTYPE for a closed stamp."""
    found = keys.setdefault(name, value)
    return CLOSED if isinstance(found, Closed) else str(found)


def set_xx_get(keys: Keys, name: str, value: str) -> str:
    """SET XX GET: "changed", "missing", or "closed" (WRONGTYPE)."""
    if name not in keys:
        return "missing"
    if isinstance(keys[name], Closed):
        return CLOSED
    keys[name] = value
    return "changed"


def unlink(keys: Keys, *names: str) -> int:
    """UNLINK: how many were there."""
    return sum(keys.pop(name, None) is not None for name in names)


class Draft(NamedTuple):
    """A commit's arguments, as `ports.Commit` has them: `observed` None is to take what stands at the store."""

    mode: str
    value: int
    stamps: tuple[tuple[str, str | None], ...]
    token: str = ""
    seen: Entry | None = None
    beside: tuple[tuple[str, str], ...] = ()
    identity: str = ""
    mark: int = 0


def commit(world: World, keys: Keys, draft: Draft, *, entry: str = "entry", lease: str = "lease") -> str:
    """COMMIT, after the SET of the staged value: put it in place, on conditions."""

    def refuse(why: str) -> str:
        if draft.mode == "set":
            unlink(keys, entry, lease)
        if draft.mode == "fill" and keys.get(lease) == draft.token:
            unlink(keys, lease)
        return why

    why = _unmet(draft, keys.get(entry), keys.get(lease))
    if why:
        return refuse(why)
    recorded = []
    for name, observed in (*draft.stamps, *draft.beside):
        stamp = keys.get(name)
        if isinstance(stamp, Closed):
            return refuse(CLOSED)
        if observed is None:
            recorded.append((name, keys.setdefault(name, stamp or new_stamp(world))))
        elif stamp is None or hard(stamp) != hard(observed):
            return refuse("stale")
        else:
            recorded.append((name, observed))
    keys[entry] = Entry(draft.value, tuple(recorded[: len(draft.stamps)]), draft.identity, draft.mark)
    unlink(keys, lease)
    return "stored"


def _unmet(draft: Draft, there: Entry | None, held: str | None) -> str:
    """Which condition on entry and lease is not met."""
    if draft.mode == "fill" and held != draft.token:
        return "lease"
    if draft.mode == "replace" and (there is None or there != draft.seen):
        return "changed"
    if draft.mode == "add" and there is not None and there != draft.seen:
        return "exists"
    return ""


def modify(keys: Keys, current: Callable[[Entry], bool], change: Callable[[Entry], Entry]) -> str:
    """MODIFY: change an entry in place if it is fresh there and then."""
    entry = keys.get("entry")
    if entry is None:
        return "absent"
    if not current(entry):
        return "stale"
    keys["entry"] = change(entry)
    return "changed"


def release(keys: Keys, lease: str, token: str) -> str:
    """RELEASE: give a lease back that is still ours."""
    return "released" if keys.get(lease) == token and unlink(keys, lease) else "another's"


def soften(world: World, keys: Keys, name: str) -> str:
    """SOFTEN: a new soft half, if the stamp is open."""
    stamp = keys.get(name)
    if stamp is None or isinstance(stamp, Closed):
        return "missing" if stamp is None else CLOSED
    keys[name] = f"{hard(stamp)}.{world.draw()}"
    return "changed"


def unlink_open(keys: Keys, name: str) -> str:
    """UNLINK_OPEN: invalidate on a full server; a closed stamp stays closed."""
    if isinstance(keys.get(name), Closed):
        return CLOSED
    return "removed" if unlink(keys, name) else "missing"


def _own(keys: Keys, name: str, owner: str, left: int, *, keep: bool) -> None:
    """ZADD GT, then PEXPIREAT: an owner's own deadline is never shortened."""
    stamp = keys.get(name)
    owners = dict(stamp.owners) if isinstance(stamp, Closed) else {}
    owners[owner] = max(left, owners.get(owner, 0))
    keys[name] = Closed(tuple(sorted(owners.items())), keep)


def _without(keys: Keys, name: str, owner: str, *, keep: bool) -> bool:
    """ZREM of an owner and of the expired; a sorted set without members is gone. Whether the owner was there."""
    stamp = keys[name]
    rest = tuple((one, left) for one, left in stamp.owners if one != owner and left > 0)
    if rest:
        keys[name] = Closed(rest, keep)
    else:
        del keys[name]
    return any(one == owner for one, _ in stamp.owners)


def close(keys: Keys, name: str, owner: str, left: int, *, always: bool, keep: bool) -> str:
    """CLOSE: with `always` missing ones too."""
    stamp = keys.get(name)
    met = "missing" if stamp is None else CLOSED if isinstance(stamp, Closed) else "changed"
    if isinstance(stamp, Closed):
        _without(keys, name, "", keep=keep)
    elif stamp is not None:
        del keys[name]
    if always or met != "missing":
        _own(keys, name, owner, left, keep=keep)
    return met


def complete(keys: Keys, name: str, owner: str, *, lag: int, keep: bool) -> str:
    """COMPLETE: an owner goes; a stamp that is open by now has been lost meanwhile, and goes as well."""
    stamp = keys.get(name)
    if stamp is None:
        return "missing"
    met = "changed"
    if isinstance(stamp, Closed):
        met = "changed" if _without(keys, name, owner, keep=keep) else CLOSED
    else:
        del keys[name]
    if lag:
        _own(keys, name, LAG, lag, keep=keep)
    return met


def open_(world: World, keys: Keys, name: str, *, lag: int) -> str:
    """OPEN: where loaders may lag. A missing stamp is closed; a closed one whose deadlines are over is opened."""
    stamp = keys.get(name)
    if isinstance(stamp, Closed) and stamp.latest() <= 0:
        keys[name] = new_stamp(world)
        return str(keys[name])
    if stamp is None:
        _own(keys, name, LAG, lag, keep=True)
        return CLOSED
    return CLOSED if isinstance(stamp, Closed) else str(stamp)


def prolong(keys: Keys, name: str, stamp: str) -> str:
    """PROLONG: let a stamp live longer that is still the same. Nothing expires here but closed stamps."""
    return "prolonged" if keys.get(name) == stamp else "another"


def turn(keys: Keys) -> None:
    """The server's clock turns: deadlines come nearer; what is not kept expires with its last."""
    for name, stamp in tuple(keys.items()):
        if isinstance(stamp, Closed):
            owners = tuple((owner, max(left - 1, 0)) for owner, left in stamp.owners)
            keys[name] = Closed(owners, stamp.kept)
            if not stamp.kept and keys[name].latest() <= 0:
                del keys[name]


SCRIPTS: Final[dict[str, Callable[..., str]]] = {
    "CLOSE": close,
    "COMMIT": commit,
    "COMPLETE": complete,
    "MODIFY": modify,
    "OPEN": open_,
    "PROLONG": prolong,
    "RELEASE": release,
    "SOFTEN": soften,
    "UNLINK_OPEN": unlink_open,
}
"""The scripts of `unstale.stores.scripts`."""


def show(value: Any) -> str:
    """A reply, for a trace."""
    match value:
        case Entry(version, stamps, identity):
            under = " ".join(f"{name}={stamp}" for name, stamp in stamps)
            return f"v{version} under {under}" + (f" of {identity}" if identity else "")
        case Closed(owners):
            return "closed for " + ", ".join(f"{owner} ({left} turns)" for owner, left in owners)
        case str():
            return value
        case Sequence():
            return "(" + ", ".join(map(show, value)) + ")"
        case _:
            return "nothing" if value is None else str(value)
