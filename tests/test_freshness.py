"""The one rule, as a table of verdicts; and that the quick look says yes only where the judgement would."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from unstale import Cache
from unstale.core import layout
from unstale.core.entry import Draft, parse
from unstale.core.freshness import (
    Fresh,
    Outdated,
    Unfit,
    Unknown,
    Verdict,
    fresh_payload,
    judge,
    names_blob,
    recorded_stamps,
)
from unstale.core.keys import Names, TagSet, root_tag
from unstale.core.stamps import CLOSED, Observed
from unstale.events import Miss, Why
from unstale.stores.memory import MemoryStore

NAMES = Names("shop")
KEY = b"orders:42"
ROOT = root_tag(KEY)
TAGS = NAMES.make_tagset("", ("user:42/orders",))
WIDER = NAMES.make_tagset("", ("user:42/orders", "product:9"))
IDENTITY, OTHER_IDENTITY = b"i" * 16, b"j" * 16
STAMPS = {"user:42": b"1" * 16, "user:42/orders": b"2" * 16, "product:9": b"3" * 16, ROOT: b"9" * 16}
NEW = b"n" * 16


def sealed(tagset: TagSet = TAGS, key: bytes = KEY, *, fenced: bool = True) -> bytes:
    """An entry that records these tags."""
    draft = Draft(key, tagset, 0, b"payload", 1.0, 60.0, 0.5, fenced=fenced)
    return draft.seal(IDENTITY, tuple(STAMPS[tag] for tag in (*tagset.tags, ROOT)))


@dataclass(frozen=True)
class Reading:
    """What a read brought: by default the entry, with all its stamps unchanged, from the same server."""

    data: bytes | None = field(default_factory=sealed)
    wanted: TagSet = TAGS
    stamps: dict[str, Observed] = field(default_factory=dict)
    identity: bytes = IDENTITY
    key: bytes = KEY

    def current(self) -> dict[str, Observed]:
        """The stamps of the wanted tags and of the root, those in `stamps` in place of the old ones."""
        return {**{tag: STAMPS[tag] for tag in (*self.wanted.tags, ROOT)}, **self.stamps}

    def verdict(self) -> Verdict:
        return judge(self.data, self.key, self.wanted.tags, self.current(), self.identity, NAMES.root_tag(self.key))

    def quick(self) -> int:
        """What the hit path's look says; without an entry it is not asked."""
        stamps = [self.current()[tag] for tag in (*self.wanted.tags, ROOT)]
        data = self.data or b""
        payload = fresh_payload(data, self.wanted, names_blob(self.wanted, self.key), stamps, self.identity)
        return len(data) - len(payload) if payload is not None else 0


def with_byte(at: int, value: int) -> bytes:
    """The entry with another byte."""
    data = bytearray(sealed())
    data[at] = value
    return bytes(data)


HEAD = parse(sealed())
NO_TAGS = NAMES.make_tagset("", ())

FRESH = {
    "unchanged": Reading(),
    "unfenced, from another server": Reading(sealed(fenced=False), identity=OTHER_IDENTITY),
    "without tags": Reading(sealed(NO_TAGS, fenced=False), NO_TAGS),
}
VERDICTS: dict[str, tuple[Reading, Verdict]] = {
    "absent": (Reading(None), Unfit(Why.ABSENT)),
    "empty": (Reading(b""), Unfit(Why.UNREADABLE)),
    "foreign": (Reading(b"somebody else's bytes" * 9), Unfit(Why.UNREADABLE)),
    "cut short": (Reading(sealed()[:100]), Unfit(Why.UNREADABLE)),
    "another version": (Reading(with_byte(1, 2)), Unfit(Why.UNREADABLE)),
    "unknown flag": (Reading(with_byte(layout.FLAGS_AT, 9)), Unfit(Why.UNREADABLE)),
    "another key's": (Reading(sealed(key=b"orders:43")), Unfit(Why.OTHER_KEY, parse(sealed(key=b"orders:43")))),
    "a key that begins alike": (Reading(key=b"orders:4"), Unfit(Why.OTHER_KEY, HEAD)),
    "fewer tags than wanted": (Reading(wanted=WIDER), Unfit(Why.TAGS, HEAD)),
    "another server": (Reading(identity=OTHER_IDENTITY), Unfit(Why.IDENTITY, HEAD)),
    "first tag invalidated": (Reading(stamps={"user:42": NEW}), Outdated("user:42", HEAD)),
    "last tag invalidated": (Reading(stamps={"user:42/orders": NEW}), Outdated("user:42/orders", HEAD)),
    "cleared": (Reading(stamps={ROOT: NEW}), Outdated(ROOT, HEAD)),
    "stamp missing": (Reading(stamps={"user:42": None}), Outdated("user:42", HEAD)),
    "stamp closed": (Reading(stamps={"user:42": CLOSED}), Outdated("user:42", HEAD)),
    "root missing": (Reading(stamps={ROOT: None}), Outdated(ROOT, HEAD)),
    "soft half changed": (Reading(stamps={"user:42": b"1" * 8 + b"s" * 8}), Outdated("user:42", HEAD)),
    "stamps swapped": (
        Reading(stamps={"user:42": STAMPS["user:42/orders"], "user:42/orders": STAMPS["user:42"]}),
        Outdated("user:42", HEAD),
    ),
}


@pytest.mark.parametrize("reading", FRESH.values(), ids=FRESH)
def test_fresh(reading: Reading) -> None:
    """An entry whose every stamp stands is fresh, and the quick look finds its payload."""
    assert reading.data is not None
    assert reading.verdict() == Fresh(parse(reading.data))
    assert reading.data[reading.quick() :] == b"payload"


@pytest.mark.parametrize(("reading", "verdict"), VERDICTS.values(), ids=VERDICTS)
def test_not_fresh(reading: Reading, verdict: Verdict) -> None:
    """Any other entry is not served, for its own reason, and the quick look does not serve it either."""
    assert reading.verdict() == verdict
    assert reading.quick() == 0


def test_a_damaged_payload_is_not_for_the_quick_look() -> None:
    """An entry with a damaged payload is fresh, but the quick look leaves it to those who can say what is wrong."""
    reading = Reading(sealed()[:-1] + b"?")
    assert reading.verdict() == Fresh(parse(sealed()))
    assert reading.quick() == 0


def test_more_tags_than_wanted() -> None:
    """An entry that records more than was wanted is judged when the others' stamps are known; the quick look passes."""
    reading = Reading(sealed(WIDER))
    assert reading.verdict() == Unknown(("product:9",), parse(sealed(WIDER)))
    assert reading.quick() == 0
    assert replace(reading, stamps={"product:9": STAMPS["product:9"]}).verdict() == Fresh(parse(sealed(WIDER)))
    assert replace(reading, stamps={"product:9": NEW}).verdict() == Outdated("product:9", parse(sealed(WIDER)))


def test_a_known_bad_stamp_decides_before_unknown_ones() -> None:
    """Where a stamp that was read is outdated already, the others need not be read."""
    reading = Reading(sealed(WIDER), stamps={ROOT: NEW})
    assert reading.verdict() == Outdated(ROOT, parse(sealed(WIDER)))


REASONS: list[tuple[str, Callable[[Reading], Reading], object]] = [
    ("unreadable", lambda reading: replace(reading, data=b"?"), Why.UNREADABLE),
    ("another key", lambda reading: replace(reading, key=b"other"), Why.OTHER_KEY),
    ("tags", lambda reading: replace(reading, wanted=WIDER), Why.TAGS),
    ("identity", lambda reading: replace(reading, identity=OTHER_IDENTITY), Why.IDENTITY),
]


@pytest.mark.parametrize("first", range(len(REASONS)))
def test_the_first_reason_is_said(first: int) -> None:
    """With several reasons the first of the table is given: what cannot be read has no key, and so on."""
    reading = Reading(stamps={ROOT: NEW})
    for _, spoil, _ in REASONS[first:]:
        reading = spoil(reading)
    verdict = reading.verdict()
    assert isinstance(verdict, Unfit)
    assert verdict.why is REASONS[first][2]


def test_every_stamp_byte_counts() -> None:
    """A stamp that differs in one byte only is another, to both looks."""
    for at in range(16):
        stamp = bytearray(STAMPS["user:42"])
        stamp[at] ^= 0x80
        reading = Reading(stamps={"user:42": bytes(stamp)})
        assert (reading.verdict(), reading.quick()) == (Outdated("user:42", HEAD), 0)


@pytest.mark.parametrize("cut", [0, 8, 15, 17, 24, 32])
def test_stamps_of_another_size_are_no_stamps(cut: int) -> None:
    """Two foreign values that together are two stamps' bytes are not taken for the stamps, as the rule demands."""
    both = STAMPS["user:42"] + STAMPS["user:42/orders"]
    stamps = [both[:cut], both[cut:], STAMPS[ROOT]]
    assert fresh_payload(sealed(), TAGS, names_blob(TAGS, KEY), stamps, IDENTITY) is None


def test_a_short_stamp_before_forged_names() -> None:
    """An entry made so that its names follow a stamp cut short is not taken for one with that stamp."""
    tagset = NAMES.make_tagset("", ("a",))
    names = names_blob(tagset, b"k")
    forged = tagset.shape + sealed()[5 : layout.STAMPS_AT] + b"1" * 16 + b"2" * 8 + names.ljust(8, b"x") + names
    assert fresh_payload(forged, tagset, names, [b"1" * 16, b"2" * 8], IDENTITY) is None


class SwitchingStore(MemoryStore):
    """A store whose second read, of tags that nobody declared, can be answered by another server."""

    other = b"o" * 16

    def read(self, names: Sequence[bytes]) -> tuple[list[bytes | None], bytes]:
        values, identity = super().read(names)
        self.identity, self.other = self.other, self.identity
        return values, identity


@pytest.mark.parametrize(("verb", "what"), [("get", "k"), ("get_many", ["k"])])
def test_stamps_of_two_servers_say_nothing(monkeypatch: pytest.MonkeyPatch, verb: str, what: object) -> None:
    """An entry of one server is not fresh by stamps that another one has answered."""
    store, events = SwitchingStore(), []
    monkeypatch.setattr("unstale.cache.open_store", lambda *_: store)
    cache = Cache.from_url("memory://", namespace="shop", on_event=events.append)
    cache.set("k", "v", tags=["a"])
    assert getattr(cache, verb)(what) in (None, {})
    assert events[-1] == Miss("k", Why.IDENTITY)


def test_recorded_stamps() -> None:
    """An entry's recorded stamps are told by tag, the key's root last."""
    assert recorded_stamps(HEAD, ROOT) == tuple((tag, STAMPS[tag]) for tag in ("user:42", "user:42/orders", ROOT))


def test_names_blob() -> None:
    """The names are laid out as an entry holds them."""
    assert names_blob(TAGS, KEY) == b"user:42\0user:42/orders\0orders:42\0"
    assert names_blob(TAGS, KEY) in sealed()


def test_inherited_roots_are_compared() -> None:
    """A root of another key among the recorded tags is a tag like any other."""
    other = next(f"*{n}" for n in range(16) if f"*{n}" != ROOT)
    tagset = NAMES.recorded_tagset((*TAGS.tags, other))
    stamps = (NEW, STAMPS["user:42"], STAMPS["user:42/orders"], STAMPS[ROOT])
    data = Draft(KEY, tagset, 0, b"payload", 1.0, 60.0, 0.5, fenced=True).seal(IDENTITY, stamps)
    assert Reading(data).verdict() == Unknown((other,), parse(data))
    assert Reading(data, stamps={other: STAMPS[ROOT]}).verdict() == Outdated(other, parse(data))
    assert Reading(data, stamps={other: NEW}).verdict() == Fresh(parse(data))
