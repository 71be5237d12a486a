"""What the core asks of the world: a store, a clock, a way to wait, and the user's loader.

`Store` is the synchronous contract, at the level of meaning: a store knows names, bytes and stamps, never keys, tags or
values. Each method is one round trip (where the cluster allows it), and each attempt at a write is made with stamps,
tokens and names of its own, so that a late duplicate cannot revive what came between. `IO` is the same, awaited.

Its values are named tuples: a frozen dataclass takes six times as long to make, and importing unstale makes them all.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol, TypeAlias

from unstale.core.entry import Draft
from unstale.core.stamps import Observed

PEEK_BYTES = 18432
"""How much of an entry `peek` fetches: more than the head of any entry (the longest key, the most and longest tags)."""

HEAD_BYTES = 1024
"""How much of each entry is read where many are: more than most heads."""

Reading: TypeAlias = "tuple[list[bytes | None], bytes]"
"""What was read under some names, in order, and the identity of the server that answered. A tuple: the hit path's."""


class Peek(NamedTuple):
    """An entry's beginning and the stamps, read in one trip.

    Attributes:
        head: its first PEEK_BYTES; None where there is no entry.
        ttl: seconds until it expires; infinite for never; 0 where there is no entry.
        stamps: what stands under the stamps' names.
        identity: of the server that answered.
    """

    head: bytes | None
    ttl: float
    stamps: list[Observed]
    identity: bytes


class Heads(NamedTuple):
    """The beginnings of many entries and some stamps, read in one trip.

    Attributes:
        heads: the entries' first bytes; None where there is no entry.
        stamps: what stands under the stamps' names.
        identity: of the server that answered.
    """

    heads: list[bytes | None]
    stamps: list[Observed]
    identity: bytes


class Scanned(NamedTuple):
    """A part of a scan.

    Attributes:
        cursor: where the scan goes on; 0 at its end.
        names: those that matched; some may come again in a later part.
        identity: of the server that answered: a cursor means nothing to another.
    """

    cursor: int
    names: list[bytes]
    identity: bytes


class Claim(NamedTuple):
    """A wish to load a key.

    Attributes:
        entry: the entry's name.
        lease: its lease's name.
        seconds: how long the lease is to last.
    """

    entry: bytes
    lease: bytes
    seconds: float


class Claimed(NamedTuple):
    """What became of a claim.

    Attributes:
        token: the lease's token if this attempt got the lease, else None.
        holder: the token of whoever holds it, if that is another.
        head: the entry's first bytes as they are now (HEAD_PROBE of them); None where there is no entry.
    """

    token: bytes | None
    holder: bytes | None
    head: bytes | None


class Opening(NamedTuple):
    """The right to load, and the stamps that had to be created first.

    Attributes:
        claimed: what became of each claim.
        stamps: the stamps under the names that were missing: just created, found, or CLOSED.
        identity: of the server that answered.
    """

    claimed: list[Claimed]
    stamps: list[Observed]
    identity: bytes


HEAD_PROBE = 64
"""How much of the entry `open` reads again: the header and the first stamp, enough to see that another filled it."""


class Mode(Enum):
    """On what condition a draft is stored."""

    FILL = "fill"
    """Only if the lease is still this loader's, and no stamp has changed since it was observed."""
    SET = "set"
    """Unless a stamp has changed since it was observed or is closed; then what was there goes, too."""
    ADD = "add"
    """As SET, but only if the entry is the one that was judged absent or stale."""
    REPLACE = "replace"
    """Only if the entry is the one that was judged fresh, and its stamps still stand."""


class Outcome(Enum):
    """What became of a draft."""

    STORED = "stored"
    LEASE = "lease"
    STALE = "stale"
    CLOSED = "closed"
    EXISTS = "exists"
    CHANGED = "changed"
    """It was to replace an entry that is another by now, or gone."""
    EVICTED = "evicted"
    IDENTITY = "identity"
    """It was observed at one server and stored at another: no reader will find it fresh."""


class Commit(NamedTuple):
    """A draft and the conditions under which it is stored.

    Attributes:
        mode: see Mode.
        entry: the entry's name.
        lease: its lease's name; all but FILL take the lease away from whoever holds it.
        stamp_names: the stamps' names, the root's last.
        observed: what was observed there before the load; None: take (or create) the stamp that stands there now.
        identity: of the server where they were observed; None: of the one that stores.
        draft: the entry.
        token: the lease's token, for FILL.
        seen: for ADD and REPLACE, the first bytes of the entry that was judged; None where there was none.
        beside: for REPLACE, further stamps that must not have changed, by name: that entry's own.
        stamp_ttl: seconds that a stamp lives at least from now.
        prolong: whether stamps that are there must be prolonged; not if this process did so a while ago.
    """

    mode: Mode
    entry: bytes
    lease: bytes
    stamp_names: tuple[bytes, ...]
    observed: tuple[bytes | None, ...]
    identity: bytes | None
    draft: Draft
    stamp_ttl: float
    prolong: bool = True
    token: bytes = b""
    seen: bytes | None = None
    beside: tuple[tuple[bytes, bytes], ...] = ()


class Committed(NamedTuple):
    """What became of a commit: the outcome, and for STALE and CLOSED which stamp it was, by position."""

    outcome: Outcome
    position: int = 0
    size: int = 0


class Bumped(Enum):
    """What an invalidation met under a stamp's name."""

    CHANGED = "changed"
    MISSING = "missing"
    CLOSED = "closed"


class Change(Enum):
    """What `modify` may do to a fresh entry."""

    INCREASE = "increase"
    TOUCH = "touch"


class Modify(NamedTuple):
    """A change to an entry, made by the server only if the entry is fresh there and then.

    Attributes:
        change: which.
        entry: the entry's name.
        stamp_names: the names of its stamps, the root's last.
        shape: what the entry must begin with.
        names: its names blob.
        delta: for INCREASE.
        now: seconds since 1970, for entries with TIMED: the caller's clock, by which it has judged them, too.
        times: for TOUCH, the packed times that replace the entry's own.
        ttl: for TOUCH, seconds; infinite for no limit.
        stamp_ttl: for TOUCH, seconds that a stamp lives at least from now.
    """

    change: Change
    entry: bytes
    stamp_names: tuple[bytes, ...]
    shape: bytes
    names: bytes
    delta: int = 0
    now: float = 0.0
    times: bytes = b""
    ttl: float = 0.0
    stamp_ttl: float = 0.0


class Unmodified(Enum):
    """Why `modify` changed nothing."""

    ABSENT = "absent"
    OTHER = "other"
    """There is an entry, with other tags than expected, or not ours at all: look at it first."""
    STALE = "stale"
    NOT_A_COUNTER = "type"
    RANGE = "range"


class Store(Protocol):
    """A place for entries, stamps and leases. All methods raise StoreError, and only that."""

    def read(self, names: Sequence[bytes]) -> Reading:
        """Read everything under these names at one moment. Whatever is not a string counts as missing."""

    def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        """Read an entry's beginning and some stamps; then remove the names in `remove`, in one command."""

    def open(self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0) -> Opening:
        """Try to take a lease for each claim, create the stamps that are missing, and look at the entries again.

        With a `lag` (seconds) a missing stamp is closed for so long instead, and a closed one whose deadlines are over
        is created anew.
        """

    def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """Store drafts, each under its own conditions."""

    def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """Give leases back, each by its name and token, if they are still held with these."""

    def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """Give each stamp that is there a new value (`soft`: a new soft half). It has taken effect on return.

        With a `lag` (seconds) each that is there, closed ones too, is closed from now for at least so long instead.
        """

    def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """Close stamps for an owner, there or not, for at least so many seconds from now. All of them, or it raises.

        Args:
            stamp_names: which.
            owner: the same at every attempt: an earlier one that arrives late changes nothing while it is closed.
            seconds: until the owner's deadline; nobody else's is shortened.
            keep: seconds that a closed stamp stays in its place after its last deadline, for `open` with a lag.
        """

    def complete(self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0) -> list[Bumped]:
        """Take an owner away. A stamp that then has none, and one that is open by now, is removed.

        With a `lag` (seconds) each that was there is closed from now for at least so long instead. CHANGED where the
        owner was found or the stamp was open, CLOSED where only others own it.
        """

    def modify(self, modify: Modify) -> int | Unmodified:
        """Change a fresh entry in place; for INCREASE the new count, for TOUCH 0."""

    def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        """Read the first `size` bytes of entries and some stamps; then remove the names in `remove`, in one command."""

    def scan(self, cursor: int, match: bytes, count: int) -> Scanned:
        """Go on with a scan for names that match a glob; it begins with 0, and looks at about `count` names."""

    def remove(self, names: Sequence[bytes]) -> int:
        """Remove names, in one command; how many were there."""

    def check(self) -> None:
        """Raise BreakerOpenError while reads do not ask the server: what would follow one is not tried either."""

    def owe(self, settle: Callable[[float], Any]) -> None:
        """Have this done at a server that is back (awaited, by an AsyncStore) before reads ask it again.

        It is called with the seconds that a read has.
        """

    def hold(self) -> None:
        """Let no read ask the server before that was done."""

    def ping(self) -> None:
        """Reach the server, and check that it is a primary."""

    def close(self) -> None:
        """Let go of everything. Later calls raise StoreClosedError."""


class Trips(Protocol):
    """A store's round trips, awaited. The same contract as Store's."""

    async def read(self, names: Sequence[bytes]) -> Reading:
        """See Store."""

    async def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        """See Store."""

    async def open(
        self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0
    ) -> Opening:
        """See Store."""

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See Store."""

    async def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """See Store."""

    async def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store."""

    async def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """See Store."""

    async def complete(
        self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store."""

    async def modify(self, modify: Modify) -> int | Unmodified:
        """See Store."""

    async def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        """See Store."""

    async def scan(self, cursor: int, match: bytes, count: int) -> Scanned:
        """See Store."""

    async def remove(self, names: Sequence[bytes]) -> int:
        """See Store."""

    async def check(self) -> None:
        """See Store."""


class AsyncStore(Trips, Protocol):
    """A store for asyncio."""

    def owe(self, settle: Callable[[float], Any]) -> None:
        """See Store."""

    def hold(self) -> None:
        """See Store."""

    async def ping(self) -> None:
        """See Store."""

    async def close(self) -> None:
        """See Store."""


Flight: TypeAlias = "tuple[bytes, tuple[Observed, ...]]"
"""One load in this process: the key and the stamps that its caller saw. Who saw other stamps does not join it."""


class Handover(NamedTuple):
    """What another process needs to do a load in this one's place, beside its key and its loader.

    Attributes:
        token: with which the lease is held.
        probe: how the entry begins that is to be replaced; None where there is none.
    """

    token: bytes
    probe: bytes | None


class Load(Protocol):
    """A load that a lease was taken for, as a runner is given it. To be awaited once, or left to another process."""

    @property
    def loader(self) -> Callable[[], Any]:
        """What computes the value."""

    def __call__(self) -> Coroutine[Any, Any, None]:
        """Load and store; a failure is told to the events hook, or the log."""

    def leave(self) -> Handover:
        """Leave it to another process: here nobody waits for it any more. If none does it the lease runs out."""


class IO(Trips, Protocol):
    """The world as the cold path sees it: a store's round trips, clocks, waiting, and the loader's caller.

    Attributes:
        runs: whether there is a runner, which `spawn` needs.
    """

    runs: bool

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    async def call(self, loader: Callable[..., Any], *arguments: Any) -> Any:
        """Call the loader; what it raises passes unchanged."""

    def spawn(self, load: Load) -> None:
        """Have the runner do a load, elsewhere and soon. Raises what the runner raises when it will not."""

    def go_on(self, steps: Coroutine[Any, Any, None]) -> bool:
        """Have steps go on after this, beside all else, whoever is cancelled or returns. False where that cannot be.

        They only wait and ask the store; no loader is called in them.
        """

    def lead(self, flight: Flight) -> bool:
        """Begin a flight; False where another in this process has begun the same."""

    async def join(self, flight: Flight, seconds: float) -> bool:
        """Wait until another's flight has landed, at most so long. False: it came to nothing: the store failed."""

    def land(self, flight: Flight, *, failed: bool = False) -> None:
        """End a flight, and wake those who wait for it."""

    def chance(self) -> float:
        """A number evenly drawn from above 0 to 1, by the operating system: `random` is the same after a fork."""

    def monotonic(self) -> float:
        """Seconds that only grow, for how long something took."""

    def now(self) -> float:
        """Seconds since 1970, for people."""
