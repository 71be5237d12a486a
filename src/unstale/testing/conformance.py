"""What every store must do, as a pytest class. Subclass it, and give it a fixture `store`.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self):
            store = MyStore()
            yield store
            store.close()

The store must be empty, and its clock the real one. The names are those of a cluster, where they share a slot.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from unstale.core.entry import Draft, parse
from unstale.core.freshness import names_blob
from unstale.core.keys import Names, TagSet
from unstale.core.layout import STAMPS_AT, TIMES
from unstale.core.ports import Bumped, Change, Claim, Commit, Heads, Mode, Modify, Outcome, Store, Unmodified
from unstale.core.stamps import CLOSED, HARD_SIZE, STAMP_SIZE
from unstale.errors import StoreClosedError

NAMES = Names("conformance", clustered=True)
TAGS = NAMES.make_tagset("", ("user:42/orders",))
KEY = b"orders:42"
ENTRY = NAMES.entry(KEY, TAGS.home)
LEASE = NAMES.lease(ENTRY)
STAMPS = (*TAGS.stamp_names, NAMES.root_of(KEY, TAGS.home))


def draft(payload: bytes = b"payload", tagset: TagSet = TAGS, ttl: float = 60.0, codec: int = 0) -> Draft:
    """An entry of KEY."""
    return Draft(KEY, tagset, codec, payload, 1.0, ttl, 0.5, fenced=True)


def commit(mode: Mode, observed: tuple[bytes | None, ...] | None = None, **fields: object) -> Commit:
    """A commit of KEY under its usual stamps."""
    given = {"draft": draft(), "identity": None, "stamp_ttl": 600.0, **fields}
    return Commit(mode, ENTRY, LEASE, STAMPS, observed or (None,) * len(STAMPS), **given)  # type: ignore[arg-type]


SOON = 0.02
"""Seconds after which a deadline is over in a test that waits for it."""


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for a server's clock."""
    give_up_at = time.monotonic() + 10.0
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(SOON / 10)


CLAIM = Claim(ENTRY, LEASE, 60.0)


def claimed(store: Store) -> bytes | None:
    """The token of one attempt to get the lease."""
    return store.open([CLAIM], (), 600.0).claimed[0].token


class StoreConformance:
    """The suite."""

    @pytest.fixture
    def store(self) -> Iterator[Store]:
        """Give an empty store."""
        raise NotImplementedError

    def close_stamp(self, store: Store, name: bytes) -> None:
        """Put a closed stamp under a name."""
        store.close_stamps([name], b"another", 60.0)

    def opened(self, store: Store) -> tuple[bytes, tuple[bytes, ...]]:
        """Take the lease and create the stamps, as a fill does."""
        opening = store.open([CLAIM], STAMPS, 600.0)
        [claimed] = opening.claimed
        assert claimed.token is not None
        assert all(isinstance(stamp, bytes) for stamp in opening.stamps)
        return claimed.token, tuple(stamp for stamp in opening.stamps if isinstance(stamp, bytes))

    def test_read_gives_none_for_what_is_not_there(self, store: Store) -> None:
        """Nothing is None, in its place, with the server's identity."""
        values, identity = store.read([ENTRY, *STAMPS])
        assert values == [None] * (1 + len(STAMPS))
        assert len(identity) == 16

    def test_open_creates_missing_stamps(self, store: Store) -> None:
        """Stamps that were missing are there afterwards, each 16 bytes of its own."""
        _, stamps = self.opened(store)
        assert [len(stamp) for stamp in stamps] == [STAMP_SIZE] * len(STAMPS)
        assert len(set(stamps)) == len(STAMPS)
        assert store.read(STAMPS)[0] == list(stamps)

    def test_open_finds_stamps_that_are_there(self, store: Store) -> None:
        """A stamp that another has created meanwhile is returned, not replaced."""
        _, stamps = self.opened(store)
        assert store.open((), STAMPS, 600.0).stamps == list(stamps)

    def test_open_finds_closed_stamps(self, store: Store) -> None:
        """A closed stamp stays closed, and is told from a missing one."""
        self.close_stamp(store, STAMPS[0])
        assert store.open((), STAMPS[:1], 600.0).stamps == [CLOSED]
        assert store.read(STAMPS[:1])[0] == [None]

    def test_one_lease_at_a_time(self, store: Store) -> None:
        """Who comes second gets no token, until the first gives the lease back."""
        token, _ = self.opened(store)
        assert claimed(store) is None
        store.release([(LEASE, b"another token")])
        assert claimed(store) is None
        store.release([(LEASE, token)])
        assert claimed(store) not in (None, token)

    def test_fill_stores_under_the_observed_stamps(self, store: Store) -> None:
        """A fill with its lease and unchanged stamps is stored as it was sealed, and its lease ends."""
        token, stamps = self.opened(store)
        _, identity = store.read([ENTRY])
        [done] = store.commit([commit(Mode.FILL, stamps, token=token, identity=identity)])
        data = store.read([ENTRY])[0][0]
        assert done.outcome is Outcome.STORED
        assert data == draft().seal(identity, stamps)
        assert done.size == len(data)
        assert claimed(store) is not None

    def test_fill_without_its_lease_is_refused(self, store: Store) -> None:
        """A fill whose lease went to another, or was taken away, is not stored."""
        _, stamps = self.opened(store)
        assert store.commit([commit(Mode.FILL, stamps, token=b"stolen")])[0].outcome is Outcome.LEASE
        assert store.read([ENTRY])[0] == [None]
        assert claimed(store) is None

    def test_fill_after_a_bump_is_refused(self, store: Store) -> None:
        """A fill whose stamp was bumped meanwhile is not stored, tells which, and gives its lease back."""
        token, stamps = self.opened(store)
        store.bump(STAMPS[1:2], 600.0)
        [done] = store.commit([commit(Mode.FILL, stamps, token=token)])
        assert (done.outcome, done.position) == (Outcome.STALE, 1)
        assert store.read([ENTRY])[0] == [None]
        assert claimed(store) is not None

    def test_fill_under_a_closed_stamp_is_refused(self, store: Store) -> None:
        """A fill whose stamp was closed meanwhile is not stored."""
        token, stamps = self.opened(store)
        self.close_stamp(store, STAMPS[0])
        assert store.commit([commit(Mode.FILL, stamps, token=token)])[0].outcome is Outcome.CLOSED
        assert store.read([ENTRY])[0] == [None]

    def test_set_takes_the_stamps_that_stand(self, store: Store) -> None:
        """A set without observations records the stamps as they are, and creates those that are missing."""
        _, first = self.opened(store)
        assert store.commit([commit(Mode.SET)])[0].outcome is Outcome.STORED
        data = store.read([ENTRY])[0][0] or b""
        assert parse(data).stamps == first

    def test_set_creates_missing_stamps(self, store: Store) -> None:
        """A set where no stamp stands creates each."""
        store.commit([commit(Mode.SET)])
        (data, *stamps), identity = store.read([ENTRY, *STAMPS])
        head = parse(data or b"")
        assert list(head.stamps) == stamps
        assert head.identity == identity

    def test_set_takes_the_lease_away(self, store: Store) -> None:
        """A fill that was under way when the key was set does not overwrite it."""
        token, stamps = self.opened(store)
        store.commit([commit(Mode.SET, draft=draft(b"set"))])
        assert store.commit([commit(Mode.FILL, stamps, token=token)])[0].outcome is Outcome.LEASE
        assert (store.read([ENTRY])[0][0] or b"").endswith(b"set")

    def test_refused_set_removes_what_was_there(self, store: Store) -> None:
        """A set that may not be stored leaves nothing under the key, not the value it was to replace."""
        store.commit([commit(Mode.SET)])
        observed = tuple(store.read(STAMPS)[0])
        store.bump(STAMPS[:1], 600.0)
        assert store.commit([commit(Mode.SET, observed)])[0].outcome is Outcome.STALE
        assert store.read([ENTRY])[0] == [None]

    def test_add_only_where_nothing_was_seen(self, store: Store) -> None:
        """An add that saw nothing is refused when there is something by then."""
        assert store.commit([commit(Mode.ADD)])[0].outcome is Outcome.STORED
        assert store.commit([commit(Mode.ADD)])[0].outcome is Outcome.EXISTS

    def test_add_replaces_the_entry_it_judged(self, store: Store) -> None:
        """An add replaces the very entry that was seen, and no other."""
        store.commit([commit(Mode.ADD, draft=draft(b"old"))])
        seen = (store.read([ENTRY])[0][0] or b"")[:60]
        assert store.commit([commit(Mode.ADD, seen=b"x" * 60)])[0].outcome is Outcome.EXISTS
        assert store.commit([commit(Mode.ADD, seen=seen, draft=draft(b"new"))])[0].outcome is Outcome.STORED
        assert (store.read([ENTRY])[0][0] or b"").endswith(b"new")

    def test_replace_only_the_entry_it_judged(self, store: Store) -> None:
        """A replacement is stored in the place of the very entry that was seen, takes its lease away, and no other."""
        assert store.commit([commit(Mode.REPLACE, seen=b"x" * 60)])[0].outcome is Outcome.CHANGED
        assert store.commit([commit(Mode.REPLACE)])[0].outcome is Outcome.CHANGED
        store.commit([commit(Mode.SET, draft=draft(b"old"))])
        seen = (store.read([ENTRY])[0][0] or b"")[:60]
        assert store.commit([commit(Mode.REPLACE, seen=b"x" * 60)])[0].outcome is Outcome.CHANGED
        assert (store.read([ENTRY])[0][0] or b"").endswith(b"old")
        token, stamps = self.opened(store)
        assert store.commit([commit(Mode.REPLACE, seen=seen, draft=draft(b"new"))])[0].outcome is Outcome.STORED
        assert store.commit([commit(Mode.FILL, stamps, token=token)])[0].outcome is Outcome.LEASE
        assert (store.read([ENTRY])[0][0] or b"").endswith(b"new")

    def test_replace_under_other_stamps_beside(self, store: Store) -> None:
        """A replacement held to a further stamp that was bumped is refused, and what is there stays."""
        store.commit([commit(Mode.SET, draft=draft(b"old"))])
        seen = (store.read([ENTRY])[0][0] or b"")[:60]
        beside = NAMES.stamp("user:42/beside")
        [stamp] = store.open((), [beside], 600.0).stamps
        held = commit(Mode.REPLACE, seen=seen, draft=draft(b"new"), beside=((beside, stamp),))
        store.bump([beside], 600.0)
        [done] = store.commit([held])
        assert (done.outcome, done.position) == (Outcome.STALE, len(STAMPS))
        assert (store.read([ENTRY])[0][0] or b"").endswith(b"old")
        now = store.read([beside])[0][0]
        assert store.commit([held._replace(beside=((beside, now or b""),))])[0].outcome is Outcome.STORED
        data, *stamps = store.read([ENTRY, *STAMPS])[0]
        assert list(parse(data or b"").stamps) == stamps

    def test_many_commits_at_once(self, store: Store) -> None:
        """Each commit has its own outcome."""
        done = store.commit([commit(Mode.SET), commit(Mode.ADD), commit(Mode.FILL, token=b"none")])
        assert [one.outcome for one in done] == [Outcome.STORED, Outcome.EXISTS, Outcome.LEASE]

    def test_bump_changes_what_is_there(self, store: Store) -> None:
        """A bump gives a stamp a value it never had; one that is missing stays missing."""
        _, before = self.opened(store)
        assert store.bump([STAMPS[0], b"conformance:s:{none}"], 600.0) == [Bumped.CHANGED, Bumped.MISSING]
        after = store.read([*STAMPS, b"conformance:s:{none}"])[0]
        assert after[0] != before[0]
        assert after[1:] == [*before[1:], None]

    def test_bump_leaves_a_closed_stamp_closed(self, store: Store) -> None:
        """A plain invalidation does not reopen a closed tag."""
        self.close_stamp(store, STAMPS[0])
        assert store.bump(STAMPS[:1], 600.0) == [Bumped.CLOSED]
        assert store.open((), STAMPS[:1], 600.0).stamps == [CLOSED]

    def test_soft_bump_changes_the_soft_half(self, store: Store) -> None:
        """A soft bump leaves the hard half as it is, each stamp's for itself; one that is missing stays missing."""
        _, before = self.opened(store)
        assert store.bump([*STAMPS, b"conformance:s:{none}"], 600.0, soft=True) == [
            *[Bumped.CHANGED] * len(STAMPS),
            Bumped.MISSING,
        ]
        *after, none = store.read([*STAMPS, b"conformance:s:{none}"])[0]
        assert [(stamp or b"")[:HARD_SIZE] for stamp in after] == [stamp[:HARD_SIZE] for stamp in before]
        assert all(new != old for new, old in zip(after, before, strict=True))
        assert none is None

    def test_soft_bump_leaves_a_closed_stamp_closed(self, store: Store) -> None:
        """A soft invalidation does not reopen a closed tag."""
        self.close_stamp(store, STAMPS[0])
        assert store.bump(STAMPS[:1], 600.0, soft=True) == [Bumped.CLOSED]
        assert store.open((), STAMPS[:1], 600.0).stamps == [CLOSED]

    def test_fill_after_a_soft_bump_is_stored(self, store: Store) -> None:
        """A fill that a soft invalidation overtook is stored as it observed: soft-stale from the beginning."""
        token, stamps = self.opened(store)
        store.bump(STAMPS[1:2], 600.0, soft=True)
        assert store.commit([commit(Mode.FILL, stamps, token=token)])[0].outcome is Outcome.STORED
        assert parse(store.read([ENTRY])[0][0] or b"").stamps == stamps

    def state(self, store: Store, name: bytes) -> str:
        """What stands under a stamp's name, found without changing it."""
        if store.read([name])[0] != [None]:
            return "open"
        return {Bumped.MISSING: "missing", Bumped.CLOSED: "closed"}[store.bump([name], 600.0)[0]]

    def test_close_closes_open_and_missing_stamps(self, store: Store) -> None:
        """A strict write closes its stamps, whether they were there or not; a fill that was under way is refused."""
        token, stamps = self.opened(store)
        store.peek(ENTRY, STAMPS, STAMPS[1:])
        store.close_stamps(STAMPS, b"writer", 60.0)
        assert [self.state(store, name) for name in STAMPS] == ["closed"] * len(STAMPS)
        assert store.commit([commit(Mode.FILL, stamps, token=token)])[0].outcome is Outcome.CLOSED

    def test_complete_leaves_nothing(self, store: Store) -> None:
        """After its completion a stamp is missing: its old value is not put back, and a fill makes a new one."""
        _, before = self.opened(store)
        store.close_stamps(STAMPS, b"writer", 60.0)
        assert store.complete(STAMPS, b"writer") == [Bumped.CHANGED] * len(STAMPS)
        assert store.read(STAMPS)[0] == [None] * len(STAMPS)
        after = store.open((), STAMPS, 600.0).stamps
        assert all(isinstance(stamp, bytes) for stamp in after)
        assert not set(after) & set(before)

    def test_the_last_out_opens(self, store: Store) -> None:
        """A stamp that two have closed stays closed until both have completed, whoever comes first."""
        store.close_stamps(STAMPS[:1], b"first", 60.0)
        store.close_stamps(STAMPS[:1], b"second", 60.0)
        assert store.complete(STAMPS[:1], b"first") == [Bumped.CHANGED]
        assert self.state(store, STAMPS[0]) == "closed"
        assert store.complete(STAMPS[:1], b"second") == [Bumped.CHANGED]
        assert self.state(store, STAMPS[0]) == "missing"

    def test_a_stranger_opens_nothing(self, store: Store) -> None:
        """Who does not own a closed stamp does not open it; nor does a completion that comes a second time."""
        store.close_stamps(STAMPS[:1], b"first", 60.0)
        store.close_stamps(STAMPS[:1], b"second", 60.0)
        store.complete(STAMPS[:1], b"second")
        assert store.complete(STAMPS[:1], b"second") == [Bumped.CLOSED]
        assert self.state(store, STAMPS[0]) == "closed"

    def test_complete_of_a_missing_stamp(self, store: Store) -> None:
        """A stamp that is missing by then stays missing."""
        assert store.complete(STAMPS[:1], b"writer") == [Bumped.MISSING]
        assert self.state(store, STAMPS[0]) == "missing"

    def test_complete_removes_what_is_open_by_then(self, store: Store) -> None:
        """If the closed stamp was lost and a fill has made another, values from before the commit may be under it."""
        self.opened(store)
        assert store.complete(STAMPS, b"writer") == [Bumped.CHANGED] * len(STAMPS)
        assert store.read(STAMPS)[0] == [None] * len(STAMPS)

    def test_a_deadline_opens(self, store: Store) -> None:
        """A writer that never completes keeps its stamps closed until its deadline."""
        store.close_stamps(STAMPS[:1], b"dead", SOON)
        wait_until(lambda: self.state(store, STAMPS[0]) == "missing")
        assert store.open((), STAMPS[:1], 600.0).stamps[0] is not CLOSED

    def test_the_later_deadline_counts(self, store: Store) -> None:
        """A begin that comes a second time, with less time, shortens nothing; nor does another owner's."""
        store.close_stamps(STAMPS[:1], b"first", 60.0)
        store.close_stamps(STAMPS[:1], b"first", 0.001)
        store.close_stamps(STAMPS[:1], b"second", 0.001)
        time.sleep(SOON)
        assert self.state(store, STAMPS[0]) == "closed"

    def test_an_owner_that_is_over_keeps_nothing_closed(self, store: Store) -> None:
        """A completion opens what only owners keep closed whose deadlines are over."""
        store.close_stamps(STAMPS[:2], b"dead", SOON)
        store.close_stamps(STAMPS[:1], b"writer", 60.0)
        wait_until(lambda: self.state(store, STAMPS[1]) == "missing")
        store.complete(STAMPS[:1], b"writer")
        assert self.state(store, STAMPS[0]) == "missing"

    def test_completion_shortens_nobodys_deadline(self, store: Store) -> None:
        """The owners who remain have their own deadlines, the longest of which is the stamp's."""
        store.close_stamps(STAMPS[:1], b"long", 60.0)
        store.close_stamps(STAMPS[:1], b"short", 0.001)
        store.complete(STAMPS[:1], b"short")
        time.sleep(SOON)
        assert self.state(store, STAMPS[0]) == "closed"

    def test_lagging_fill_closes_what_is_missing(self, store: Store) -> None:
        """Where loaders may lag, a fill that meets a missing stamp closes it, and the first after the lag opens it."""
        assert store.open((), STAMPS, 600.0, SOON).stamps == [CLOSED] * len(STAMPS)
        wait_until(lambda: store.open((), STAMPS[:1], 600.0, 60.0).stamps != [CLOSED])
        [stamp] = store.read(STAMPS[:1])[0]
        assert len(stamp or b"") == STAMP_SIZE
        assert store.open((), STAMPS[:1], 600.0, 60.0).stamps == [stamp]

    def test_lagging_fill_does_not_prolong_the_lag(self, store: Store) -> None:
        """Fills under a closed stamp leave its deadline as it is."""
        store.open((), STAMPS[:1], 600.0, SOON)
        wait_until(lambda: store.open((), STAMPS[:1], 600.0, 3600.0).stamps != [CLOSED])
        assert self.state(store, STAMPS[0]) == "open"

    def test_lagging_fill_leaves_what_others_have_closed(self, store: Store) -> None:
        """A fill opens nothing before every owner's deadline."""
        store.close_stamps(STAMPS[:1], b"writer", 60.0, 600.0)
        store.bump(STAMPS[:1], 600.0, lag=0.001)
        time.sleep(SOON)
        assert store.open((), STAMPS[:1], 600.0, 0.001).stamps == [CLOSED]

    def test_lagging_fill_with_claims(self, store: Store) -> None:
        """Leases and beginnings come in the same trip, also where no stamp is missing."""
        _, stamps = self.opened(store)
        opening = store.open([CLAIM, Claim(b"conformance:e:other", b"conformance:l:other", 60.0)], STAMPS, 600.0, 60.0)
        assert opening.stamps == list(stamps)
        assert [one.token is not None for one in opening.claimed] == [False, True]
        third = Claim(b"conformance:e:third", b"conformance:l:third", 60.0)
        opening = store.open([third], (), 600.0, 60.0)
        assert (opening.stamps, opening.claimed[0].token is not None) == ([], True)

    def test_lagging_bump_closes_what_is_there(self, store: Store) -> None:
        """Where loaders may lag, an invalidation closes what is open for the lag; what is missing stays missing."""
        self.opened(store)
        names = [STAMPS[0], b"conformance:s:{none}"]
        assert store.bump(names, 600.0, lag=SOON) == [Bumped.CHANGED, Bumped.MISSING]
        assert [self.state(store, name) for name in names] == ["closed", "missing"]
        wait_until(lambda: store.open((), STAMPS[:1], 600.0, 60.0).stamps != [CLOSED])

    def test_lagging_bump_counts_from_the_last(self, store: Store) -> None:
        """Each invalidation closes for the lag from then on, also what is closed; none shortens another's."""
        self.opened(store)
        store.bump(STAMPS[:1], 600.0, lag=0.001)
        assert store.bump(STAMPS[:1], 600.0, lag=60.0) == [Bumped.CLOSED]
        store.bump(STAMPS[:1], 600.0, lag=0.001)
        time.sleep(SOON)
        assert store.open((), STAMPS[:1], 600.0, 60.0).stamps == [CLOSED]

    def test_lagging_bump_of_what_may_be_opened(self, store: Store) -> None:
        """An invalidation after the lag, before any fill has opened the stamp, closes it anew."""
        self.opened(store)
        store.bump(STAMPS[:1], 600.0, lag=0.001)
        time.sleep(SOON)
        assert store.bump(STAMPS[:1], 600.0, lag=60.0) == [Bumped.CLOSED]
        assert store.open((), STAMPS[:1], 600.0, 60.0).stamps == [CLOSED]

    def test_lagging_completion_closes_for_the_lag(self, store: Store) -> None:
        """Where loaders may lag, a completion leaves its stamp closed for the lag, also if it was open by then."""
        self.opened(store)
        store.close_stamps(STAMPS[:1], b"writer", 60.0, 600.0)
        assert store.complete(STAMPS, b"writer", 600.0, SOON) == [Bumped.CHANGED] * len(STAMPS)
        assert [self.state(store, name) for name in STAMPS] == ["closed"] * len(STAMPS)
        wait_until(lambda: CLOSED not in store.open((), STAMPS, 600.0, 60.0).stamps)

    def test_lagging_completion_of_a_missing_stamp(self, store: Store) -> None:
        """What is missing stays so: the next fill closes it, for longer than this would."""
        assert store.complete(STAMPS[:1], b"writer", 600.0, 60.0) == [Bumped.MISSING]
        assert self.state(store, STAMPS[0]) == "missing"

    def test_closed_without_a_limit(self, store: Store) -> None:
        """Where stamps live without a limit, a closed one waits for ever for the fill that opens it."""
        self.opened(store)
        store.bump(STAMPS[:1], math.inf, lag=SOON)
        wait_until(lambda: store.open((), STAMPS[:1], math.inf, 60.0).stamps != [CLOSED])
        assert self.state(store, STAMPS[0]) == "open"

    def test_several_claims_at_once(self, store: Store) -> None:
        """Each claim has its own lease and its own beginning; leases are given back together."""
        store.commit([commit(Mode.SET)])
        other = Claim(b"conformance:e:other", b"conformance:l:other", 60.0)
        first, second = store.open([CLAIM, other], (), 600.0).claimed
        assert ((first.head or b"")[:2], second.head) == (b"\xf5\x01", None)
        assert first.token is not None
        assert second.token not in (None, first.token)
        store.release([(LEASE, first.token), (other.lease, b"another token")])
        assert [one.token is not None for one in store.open([CLAIM, other], (), 600.0).claimed] == [True, False]

    def test_stale_ttl_is_added_to_the_entrys_life(self, store: Store) -> None:
        """An entry that may be served stale stays that much longer, also after a touch."""
        now = time.time()
        one = replace(draft(struct.pack(">q", 1), codec=1), created_at=now, stale_ttl=40.0, timed=True)
        store.commit([commit(Mode.SET, draft=one)])
        assert 99.0 < store.peek(ENTRY, STAMPS).ttl <= 100.0
        change = self.modification(Change.TOUCH, times=TIMES.pack(now, 120.0), ttl=120.0, stamp_ttl=600.0)
        assert store.modify(change) == 0
        assert 159.0 < store.peek(ENTRY, STAMPS).ttl <= 160.0
        assert store.modify(self.modification(Change.INCREASE, delta=1)) == 2

    @pytest.mark.parametrize("change", list(Change))
    def test_modify_of_an_entry_whose_ttl_is_over(self, store: Store, change: Change) -> None:
        """Between its ttl and its stale ttl an entry is there, but it is not changed."""
        one = replace(draft(struct.pack(">q", 1), codec=1), created_at=time.time() - 61, stale_ttl=40.0, timed=True)
        store.commit([commit(Mode.SET, draft=one)])
        times = TIMES.pack(7.0, 120.0)
        given = self.modification(change, delta=1, times=times, ttl=120.0, stamp_ttl=600.0)
        assert store.modify(given) is Unmodified.STALE

    def test_peek(self, store: Store) -> None:
        """A peek shows the head, the time left and the stamps."""
        store.commit([commit(Mode.SET)])
        peek = store.peek(ENTRY, STAMPS)
        assert parse(peek.head or b"").key == KEY
        assert 59.0 < peek.ttl <= 60.0
        assert peek.stamps == store.read(STAMPS)[0]

    def test_peek_of_nothing(self, store: Store) -> None:
        """A peek where nothing is shows no head."""
        peek = store.peek(ENTRY, STAMPS)
        assert (peek.head, peek.ttl, peek.stamps) == (None, 0.0, [None] * len(STAMPS))

    def test_peek_without_a_limit(self, store: Store) -> None:
        """An entry without a ttl has an infinite one."""
        store.commit([commit(Mode.SET, draft=draft(ttl=math.inf), stamp_ttl=math.inf)])
        assert store.peek(ENTRY, STAMPS).ttl == math.inf

    def test_peek_and_remove(self, store: Store) -> None:
        """A peek that removes shows what was there, and a fill that was under way is not stored."""
        store.commit([commit(Mode.SET)])
        token, stamps = self.opened(store)
        assert store.peek(ENTRY, STAMPS, (ENTRY, LEASE)).head is not None
        assert store.read([ENTRY])[0] == [None]
        assert store.commit([commit(Mode.FILL, stamps, token=token)])[0].outcome is Outcome.LEASE

    def modification(self, change: Change, **fields: object) -> Modify:
        """A change of KEY's entry."""
        names = names_blob(TAGS, KEY)
        return Modify(change, ENTRY, STAMPS, TAGS.shape, names, **{"now": time.time(), **fields})  # type: ignore[arg-type]

    def test_increase(self, store: Store) -> None:
        """A counter counts in place, up and down, and keeps its ttl."""
        store.commit([commit(Mode.SET, draft=draft(struct.pack(">q", 2**40), codec=1))])
        assert store.modify(self.modification(Change.INCREASE, delta=5)) == 2**40 + 5
        assert store.modify(self.modification(Change.INCREASE, delta=-6)) == 2**40 - 1
        assert (store.read([ENTRY])[0][0] or b"").endswith(struct.pack(">q", 2**40 - 1))
        assert store.peek(ENTRY, STAMPS).ttl <= 60.0

    @pytest.mark.parametrize("sign", [1, -1])
    def test_increase_is_exact_to_its_end(self, store: Store, sign: int) -> None:
        """A counter is exact up to 2**53 - 1 and down to its negative, and refuses to leave its range."""
        store.commit([commit(Mode.SET, draft=draft(struct.pack(">q", sign * (2**53 - 2)), codec=1))])
        assert store.modify(self.modification(Change.INCREASE, delta=sign)) == sign * (2**53 - 1)
        assert store.modify(self.modification(Change.INCREASE, delta=sign)) is Unmodified.RANGE
        assert store.modify(self.modification(Change.INCREASE, delta=sign * (2**53 - 1))) is Unmodified.RANGE
        assert (store.read([ENTRY])[0][0] or b"").endswith(struct.pack(">q", sign * (2**53 - 1)))

    def test_increase_passes_zero(self, store: Store) -> None:
        """A counter goes below zero and back, and at zero it is zero, not minus zero."""
        store.commit([commit(Mode.SET, draft=draft(struct.pack(">q", 2), codec=1))])
        counts = [store.modify(self.modification(Change.INCREASE, delta=delta)) for delta in (-3, 1, -(2**53 - 1))]
        assert counts == [-1, 0, -(2**53 - 1)]
        assert (store.read([ENTRY])[0][0] or b"").endswith(struct.pack(">q", -(2**53 - 1)))
        assert store.modify(self.modification(Change.INCREASE, delta=2**53 - 1)) == 0
        assert (store.read([ENTRY])[0][0] or b"").endswith(bytes(8))

    def test_increase_of_something_else(self, store: Store) -> None:
        """What is no counter is not counted."""
        store.commit([commit(Mode.SET)])
        assert store.modify(self.modification(Change.INCREASE, delta=1)) is Unmodified.NOT_A_COUNTER

    def test_touch(self, store: Store) -> None:
        """A touch gives new times and a new ttl, and nothing else changes."""
        store.commit([commit(Mode.SET)])
        before = store.read([ENTRY])[0][0] or b""
        times = TIMES.pack(7.0, 120.0)
        assert store.modify(self.modification(Change.TOUCH, times=times, ttl=120.0, stamp_ttl=600.0)) == 0
        after = store.read([ENTRY])[0][0] or b""
        assert (parse(after).created_at, parse(after).ttl) == (7.0, 120.0)
        assert after[20:] == before[20:]
        assert 119.0 < store.peek(ENTRY, STAMPS).ttl <= 120.0

    @pytest.mark.parametrize("change", list(Change))
    def test_modify_of_a_stale_entry(self, store: Store, change: Change) -> None:
        """A stale entry is not changed."""
        store.commit([commit(Mode.SET, draft=draft(struct.pack(">q", 1), codec=1))])
        before = store.read([ENTRY])[0]
        store.bump(STAMPS[:1], 600.0)
        times = TIMES.pack(7.0, 120.0)
        given = self.modification(change, delta=1, times=times, ttl=120.0, stamp_ttl=600.0)
        assert store.modify(given) is Unmodified.STALE
        assert store.read([ENTRY])[0] == before

    def test_modify_under_another_identity(self, store: Store) -> None:
        """An entry of another server's is not changed."""
        store.commit([commit(Mode.SET, identity=os.urandom(16), draft=draft(struct.pack(">q", 1), codec=1))])
        assert store.modify(self.modification(Change.INCREASE, delta=1)) is Unmodified.STALE

    def test_modify_with_other_tags(self, store: Store) -> None:
        """An entry with other tags than expected is not changed, and said to be another."""
        other = NAMES.make_tagset("", ("other",))
        names = (*other.stamp_names, STAMPS[-1])
        given = Commit(Mode.SET, ENTRY, LEASE, names, (None, None), None, draft(tagset=other), 600.0)
        store.commit([given])
        assert store.modify(self.modification(Change.INCREASE, delta=1)) is Unmodified.OTHER

    def test_modify_of_nothing(self, store: Store) -> None:
        """Where nothing is, nothing is changed."""
        assert store.modify(self.modification(Change.INCREASE, delta=1)) is Unmodified.ABSENT

    def test_heads(self, store: Store) -> None:
        """The beginnings of many entries in their order, and stamps, all at once; what is no string is nothing."""
        store.commit([commit(Mode.SET)])
        self.opened(store)
        data, *stamps = store.read([ENTRY, *STAMPS])[0]
        heads = store.heads([b"conformance:e:none", ENTRY], 50, [*STAMPS, b"conformance:s:{none}"])
        assert heads.heads == [None, (data or b"")[:50]]
        assert heads.stamps == [*stamps, None]
        assert heads.identity == store.read([ENTRY])[1]
        assert store.heads([ENTRY], 10_000) == Heads([data], [], heads.identity)

    def test_heads_of_no_strings(self, store: Store) -> None:
        """Where something else stands than a string, there is no entry."""
        self.close_stamp(store, ENTRY)
        assert store.heads([ENTRY], 50, [ENTRY]).heads == [None]

    def test_heads_and_remove(self, store: Store) -> None:
        """What is removed is shown as it was, and a fill that was under way is not stored."""
        store.commit([commit(Mode.SET)])
        token, stamps = self.opened(store)
        assert store.heads([ENTRY], 50, STAMPS, [ENTRY, LEASE]).heads != [None]
        assert store.read([ENTRY])[0] == [None]
        assert store.commit([commit(Mode.FILL, stamps, token=token)])[0].outcome is Outcome.LEASE

    def scanned(self, store: Store, match: bytes, count: int) -> tuple[set[bytes], int]:
        """All names that a scan gives, and how many parts it has."""
        cursor, parts, found = 0, 0, set[bytes]()
        while not parts or cursor:
            cursor, names, _ = store.scan(cursor, match, count)
            found.update(names)
            parts += 1
        return found, parts

    def test_scan(self, store: Store) -> None:
        """A scan gives every name that matches, in parts of about so many, and no other."""
        stamps = [b"conformance:s:{%d}" % number for number in range(500)]
        store.open((), stamps, 600.0)
        store.commit([commit(Mode.SET)])
        found, parts = self.scanned(store, b"conformance:s:{*}", 10)
        assert found >= set(stamps)
        assert parts == 1 or parts >= 25
        assert self.scanned(store, b"conformance:[e]:*", 1000)[0] == {ENTRY}
        assert self.scanned(store, b"conformance:s:{1[0-4]?}", 1000)[0] == set(stamps[100:150])
        assert store.scan(0, b"*", 1000).identity == store.scan(0, b"none", 1000).identity

    def test_remove(self, store: Store) -> None:
        """Removing says how many names were there, and nothing is there afterwards."""
        store.commit([commit(Mode.SET)])
        assert store.remove([ENTRY, LEASE, STAMPS[0]]) == 2
        assert store.remove([ENTRY]) == 0
        assert store.read([ENTRY, STAMPS[0]])[0] == [None, None]

    def test_stamps_layout(self, store: Store) -> None:
        """The stamps stand where the layout says, whoever wrote them there."""
        store.commit([commit(Mode.SET)])
        (data, *stamps), _ = store.read([ENTRY, *STAMPS])
        end = STAMPS_AT + STAMP_SIZE * len(STAMPS)
        assert (data or b"")[STAMPS_AT:end] == b"".join(stamp or b"" for stamp in stamps)

    def test_closed_store(self, store: Store) -> None:
        """A closed store says so."""
        store.ping()
        store.close()
        with pytest.raises(StoreClosedError):
            store.read([ENTRY])
