"""What every store must do, as a pytest class. Subclass it, and give it a fixture `store`.

    class TestMyStore(StoreConformance):
        @pytest.fixture
        def store(self):
            store = MyStore()
            yield store
            store.close()

The store must be empty. Where it can put a closed stamp in place, override `close_stamp`; the tests of closed stamps
are skipped otherwise.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from unstale.core.entry import Draft, parse
from unstale.core.freshness import names_blob
from unstale.core.keys import Names, TagSet
from unstale.core.layout import STAMPS_AT, TIMES
from unstale.core.ports import Bumped, Change, Claim, Commit, Mode, Modify, Outcome, Store, Unmodified
from unstale.core.stamps import CLOSED, HARD_SIZE, STAMP_SIZE
from unstale.errors import StoreClosedError

NAMES = Names("conformance")
TAGS = NAMES.make_tagset("", ("user:42/orders",))
KEY = b"orders:42"
ENTRY = NAMES.entry(KEY)
LEASE = NAMES.lease(ENTRY)
STAMPS = (*TAGS.stamp_names, NAMES.root_of(KEY))


def draft(payload: bytes = b"payload", tagset: TagSet = TAGS, ttl: float = 60.0, codec: int = 0) -> Draft:
    """An entry of KEY."""
    return Draft(KEY, tagset, codec, payload, 1.0, ttl, 0.5, fenced=True)


def commit(mode: Mode, observed: tuple[bytes | None, ...] | None = None, **fields: object) -> Commit:
    """A commit of KEY under its usual stamps."""
    given = {"draft": draft(), "identity": None, "stamp_ttl": 600.0, **fields}
    return Commit(mode, ENTRY, LEASE, STAMPS, observed or (None,) * len(STAMPS), **given)  # type: ignore[arg-type]


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
        pytest.skip(f"{type(store).__name__} cannot put a closed stamp under {name!r}")

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
        beside = b"conformance:s:{beside}"
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
        names = (*other.stamp_names, NAMES.root_of(KEY))
        given = Commit(Mode.SET, ENTRY, LEASE, names, (None, None), None, draft(tagset=other), 600.0)
        store.commit([given])
        assert store.modify(self.modification(Change.INCREASE, delta=1)) is Unmodified.OTHER

    def test_modify_of_nothing(self, store: Store) -> None:
        """Where nothing is, nothing is changed."""
        assert store.modify(self.modification(Change.INCREASE, delta=1)) is Unmodified.ABSENT

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
