"""Envelopes, keys and tags that nobody would write: what comes in is read exactly, or refused in the one right way.

An example is an entry with many mutilations of it, or a list of texts: more than 10,000 envelopes, and more than 10,000
keys and tags, in a run.
"""

from __future__ import annotations

import contextlib
import math
import random
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.crc import key_slot
from servers import Server

from unstale import Cache, remembering
from unstale.core import codecs
from unstale.core.entry import Draft, Head, UnreadableError, parse, payload_of
from unstale.core.freshness import Fresh, fresh_payload, judge, names_blob
from unstale.core.keys import (
    MAX_KEY_BYTES,
    MAX_TAG_BYTES,
    MAX_TAGS,
    Names,
    TagSet,
    ancestry,
    check_tag,
    key_bytes,
    quote_part,
    root_tag,
)
from unstale.core.layout import CHECK, CHECK_AT, FLAGS_AT, IDENTITY_AT, IDENTITY_SIZE, MAGIC, STAMPS_AT, TIMED
from unstale.core.stamps import CLOSED, STAMP_SIZE, Observed
from unstale.errors import AbsentError, DecodeError, EncodeError, InvalidKeyError, InvalidTagError, NotACounterError
from unstale.events import Event
from unstale.stores.memory import MemoryStore

pytestmark = pytest.mark.no_cover


def fuzz(examples: int) -> settings:
    """Settings for so many examples, on a machine of any speed."""
    return settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))


NAMES = Names("shop")
CLUSTERED = Names("shop", clustered=True)

ANY_TEXT = st.text(st.characters(), max_size=24)
TRICKY_TEXT = st.text("ab:/{}%*#27BD\0\n \ud800é", max_size=10)
LONG_TEXT = st.builds(lambda text, times: text * times, st.text("aé{/:", min_size=1, max_size=4), st.integers(40, 1400))
TEXT = st.one_of(ANY_TEXT, TRICKY_TEXT, LONG_TEXT)

LEVEL = st.one_of(
    st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/*"), min_size=1, max_size=8),
    st.text("ab:{}%", min_size=1, max_size=4),
)
TAG = st.lists(LEVEL, min_size=1, max_size=3).map("/".join)
TAGS = st.lists(TAG, max_size=5).map(lambda tags: NAMES.make_tagset("", tuple(tags)))
KEY = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).map(str.encode)


@dataclass(frozen=True)
class Stored:
    """An entry, and the circumstances under which it is fresh."""

    draft: Draft
    stamps: tuple[bytes, ...]
    identity: bytes

    @property
    def data(self) -> bytes:
        return self.draft.seal(self.identity, self.stamps)

    @property
    def tags(self) -> tuple[str, ...]:
        """The tags in the order of the stamps."""
        return (*self.draft.tagset.tags, root_tag(self.draft.raw_key))

    def judge(self, data: bytes) -> object:
        """The verdict on some bytes in the entry's place."""
        return judge(
            *(data, self.draft.raw_key, self.draft.tagset.tags, self.current, self.identity),
            NAMES.root_tag(self.draft.raw_key),
        )

    @property
    def current(self) -> dict[str, Observed]:
        return dict(zip(self.tags, self.stamps, strict=True))

    def quick(self, data: bytes) -> int:
        """The hit path's look at some bytes in the entry's place."""
        tagset = self.draft.tagset
        return quick_look(data, tagset, self.draft.raw_key, self.stamps, self.identity)

    @property
    def guarded(self) -> range:
        """Where the stamps and the names stand: no byte there may differ."""
        return range(STAMPS_AT, len(self.data) - len(self.draft.payload))


def quick_look(data: bytes, tagset: TagSet, key: bytes, stamps: Sequence[Observed], identity: bytes) -> int:
    """Where the payload begins that the hit path's look finds; 0 for none, also where it has to ask the clock."""
    payload = fresh_payload(data, tagset, names_blob(tagset, key), stamps, identity)
    return len(data) - len(payload) if payload is not None and not data[FLAGS_AT] & TIMED else 0


FLOATS = st.floats(width=32)


@st.composite
def stored(draw: st.DrawFn) -> Stored:
    """Any entry that can be sealed."""
    key, tagset = draw(KEY), draw(TAGS)
    bytes_of = random.Random(draw(st.integers(0, 2**64))).randbytes
    draft = Draft(
        raw_key=key,
        tagset=tagset,
        codec=draw(st.integers(0, 255)),
        payload=draw(st.binary(max_size=40)),
        created_at=draw(st.floats(allow_nan=False)),
        ttl=draw(FLOATS.filter(lambda ttl: not math.isnan(ttl))),
        load_seconds=draw(st.floats(0, 1e6, width=32)),
        fenced=draw(st.booleans()),
    )
    stamps = tuple(bytes_of(STAMP_SIZE) for _ in range(len(tagset.tags) + 1))
    return Stored(draft, stamps, bytes_of(IDENTITY_SIZE))


def read(data: bytes) -> Head | None:
    """The head, or None where it cannot be read; any other exception is a failure."""
    with contextlib.suppress(UnreadableError):
        return parse(data)
    return None


def undamaged(data: bytes) -> bool:
    """Whether the payload is the one whose checksum an entry has; a counter's is fixed."""
    head = parse(data)
    payload = b"" if head.codec == codecs.COUNTER else data[head.size :]
    return data[CHECK_AT : CHECK_AT + CHECK.size] == zlib.crc32(payload, head.codec).to_bytes(4)


def agree(data: bytes, quick: int, verdict: object, expected: TagSet) -> bool:
    """Whether the quick look serves what the judgement does, of undamaged entries with exactly the expected tags.

    But for entries with TIMED, for which it has to ask the clock (`quick_look`): a changed byte may make one of them.
    """
    plain = isinstance(verdict, Fresh) and not verdict.head.timed
    served = plain and verdict.head.tags == expected.tags and undamaged(data)
    return quick == (verdict.head.size if served else 0)


@fuzz(700)
@given(stored())
def test_round_trip(one: Stored) -> None:
    """What was sealed is read back to the letter, is fresh under its own stamps, and its payload is found."""
    draft, head = one.draft, parse(one.data)
    assert (head.key, head.tags, head.stamps) == (draft.raw_key, draft.tagset.tags, one.stamps)
    assert (head.codec, head.fenced, head.compression) == (draft.codec, draft.fenced, 0)
    assert (head.created_at, head.ttl, head.load_seconds) == (draft.created_at, draft.ttl, draft.load_seconds)
    assert head.identity == {True: one.identity, False: bytes(IDENTITY_SIZE)}[draft.fenced]
    assert one.data[head.size :] == draft.payload
    assert head.size == STAMPS_AT + STAMP_SIZE * len(one.stamps) + len(draft.tagset.blob) + len(draft.raw_key) + 1
    assert (one.judge(one.data), one.quick(one.data)) == (Fresh(head), head.size)


@fuzz(150)
@given(stored(), st.integers(1, 255))
def test_every_single_byte(one: Stored, change: int) -> None:
    """Whichever byte is changed, nothing raises, both looks agree, and no changed stamp, name or identity is fresh."""
    identity_at = range(IDENTITY_AT, IDENTITY_AT + IDENTITY_SIZE) if one.draft.fenced else range(0)
    for at in range(one.guarded.stop):
        data = bytearray(one.data)
        data[at] ^= change
        verdict = one.judge(bytes(data))
        assert agree(bytes(data), one.quick(bytes(data)), verdict, one.draft.tagset)
        if at in one.guarded or at in identity_at:
            assert not isinstance(verdict, Fresh)


@fuzz(150)
@given(stored())
def test_every_cut(one: Stored) -> None:
    """Cut short at whatever byte of its head, an entry is neither read nor fresh."""
    for size in range(one.guarded.stop):
        assert read(one.data[:size]) is None
        assert not isinstance(one.judge(one.data[:size]), Fresh)
        assert one.quick(one.data[:size]) == 0


@fuzz(150)
@given(stored().filter(lambda one: one.draft.codec != codecs.COUNTER), st.integers(1, 255))
def test_every_single_byte_of_a_payload(one: Stored, change: int) -> None:
    """Whichever byte of a payload or of its checksum is changed, no value comes of it."""
    for at in (*range(CHECK_AT, CHECK_AT + CHECK.size), *range(one.guarded.stop, len(one.data))):
        data = bytearray(one.data)
        data[at] ^= change
        with pytest.raises(DecodeError, match="damaged"):
            payload_of(bytes(data), one.guarded.stop)


EDIT = st.tuples(st.integers(0, 2**16), st.integers(0, 20), st.binary(max_size=20))
"""Where (modulo the size), how many bytes go, and what takes their place."""
MUTILATION = st.lists(EDIT, min_size=1, max_size=3)


def mutilated(data: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """Some bytes after a few overwritings, insertions and removals."""
    for at, removed, added in edits:
        place = at % (len(data) + 1)
        data = data[:place] + added + data[place + removed :]
    return data


def guarded_bytes(one: Stored, data: bytes) -> bytes:
    """Stamps, names and (where it counts) identity, as they stand in some bytes."""
    fenced = data[FLAGS_AT : FLAGS_AT + 1] == b"\1"
    identity = data[IDENTITY_AT : IDENTITY_AT + IDENTITY_SIZE] if fenced else one.identity
    return identity + data[one.guarded.start : one.guarded.stop]


@fuzz(700)
@given(stored(), st.lists(MUTILATION, min_size=3, max_size=8))
def test_mutations(one: Stored, mutilations: list[list[tuple[int, int, bytes]]]) -> None:
    """However an entry is mutilated, nothing raises, both looks agree, and what is fresh has every guarded byte."""
    for edits in mutilations:
        data = mutilated(one.data, edits)
        read(data)
        quick = one.quick(data)
        assert agree(data, quick, one.judge(data), one.draft.tagset)
        if quick:
            assert guarded_bytes(one, data) == one.identity + one.data[one.guarded.start : one.guarded.stop]


@fuzz(300)
@given(stored(), st.lists(st.binary(max_size=300).filter(lambda data: data[:2] != MAGIC), min_size=5, max_size=9))
def test_random_bytes(one: Stored, foreign: list[bytes]) -> None:
    """Random bytes in an entry's place are neither read nor fresh, and nothing raises."""
    for data in foreign:
        assert read(data) is None
        assert not isinstance(one.judge(data), Fresh)
        assert one.quick(data) == 0


@fuzz(400)
@given(
    stored(),
    st.integers(0, 5),
    st.integers(0, 60),
    st.sampled_from([0, 1, 2, 255]),
    st.binary(min_size=STAMPS_AT - 8, max_size=STAMPS_AT - 8),
    st.lists(
        st.sampled_from([b"a", b"*7", b"*x", b"", b"\xff", b"a/b", b"*99"]).map(lambda name: name + b"\0"), max_size=8
    ),
)
def test_likely_bytes(one: Stored, count: int, size: int, flags: int, rest: bytes, names: list[bytes]) -> None:
    """Bytes that begin like an entry, with names that no entry has, raise nothing."""
    data = MAGIC + struct.pack(">BHBBB", count, size, flags, 0, 0) + rest + bytes(16 * (count + 1)) + b"".join(names)
    verdict = one.judge(data)
    assert agree(data, one.quick(data), verdict, one.draft.tagset)
    assert not isinstance(verdict, Fresh)


CHANGES = st.sampled_from(["same", "missing", "closed", "new", "soft"])


def change_of(stamp: bytes, change: str) -> Observed:
    """What stands in the place of a stamp after a change."""
    return {
        "same": stamp,
        "missing": None,
        "closed": CLOSED,
        "new": bytes(byte ^ 0xFF for byte in stamp),
        "soft": stamp[:8] + bytes(byte ^ 1 for byte in stamp[8:]),
    }[change]


@fuzz(500)
@given(stored(), st.data())
def test_both_looks_under_changed_stamps(one: Stored, data: st.DataObject) -> None:
    """Under any stamps, identity and expectation the quick look serves what the judgement does, and nothing else."""
    changes = [data.draw(CHANGES) for _ in one.stamps]
    current = {tag: change_of(stamp, how) for tag, stamp, how in zip(one.tags, one.stamps, changes, strict=True)}
    identity = data.draw(st.sampled_from([one.identity, bytes(16), b"another server's"]))
    expected = data.draw(st.one_of(st.just(one.draft.tagset), TAGS))
    read_stamps = {tag: current.get(tag, b"x" * 16) for tag in (*expected.tags, one.tags[-1])}
    key = one.draft.raw_key
    verdict = judge(one.data, key, expected.tags, read_stamps, identity, NAMES.root_tag(key))
    quick = quick_look(one.data, expected, key, list(read_stamps.values()), identity)
    assert agree(one.data, quick, verdict, expected)
    same_server = identity == one.identity or not one.draft.fenced
    fresh = expected.tags == one.draft.tagset.tags and set(changes) == {"same"} and same_server
    assert isinstance(verdict, Fresh) == fresh


VERBS: dict[str, Callable[[Cache, str, tuple[str, ...]], object]] = {
    "get": lambda cache, key, tags: cache.get(key, tags=tags),
    "get_many": lambda cache, key, tags: cache.get_many([key, "another"], tags=tags),
    "has_key": lambda cache, key, tags: cache.has_key(key, tags=tags),
    "ttl": lambda cache, key, tags: cache.ttl(key, tags=tags),
    "touch": lambda cache, key, tags: cache.touch(key, 5, tags=tags),
    "incr": lambda cache, key, tags: cache.incr(key, tags=tags),
    "incr from": lambda cache, key, tags: cache.incr(key, initial=0, tags=tags),
    "add": lambda cache, key, tags: cache.add(key, 1, tags=tags),
    "set": lambda cache, key, tags: cache.set(key, 1, tags=tags),
    "get_or_set": lambda cache, key, tags: cache.get_or_set(key, lambda: 1, tags=tags),
    "delete": lambda cache, key, tags: cache.delete(key, tags=tags),
}


def planted(one: Stored, data: bytes) -> Cache:
    """A cache in memory that finds these bytes in the entry's place, and the entry's stamps."""
    cache = Cache.from_url("memory://", namespace="shop")
    store = cache._store
    assert isinstance(store, MemoryStore)
    store.identity = one.identity
    store._put(NAMES.entry(one.draft.raw_key), data, 60.0)
    for tag, stamp in one.current.items():
        store._put(NAMES.stamp(tag), stamp, 60.0)
    return cache


@fuzz(300)
@given(stored(), MUTILATION, st.booleans())
def test_no_verb_raises_for_what_is_stored(one: Stored, edits: list[tuple[int, int, bytes]], tagged: bool) -> None:
    """Whatever bytes are found, a verb takes them for an entry or for none; `incr` alone says what it is not."""
    data = mutilated(one.data, edits)
    for verb in VERBS.values():
        with contextlib.suppress(AbsentError, NotACounterError), remembering():
            verb(planted(one, data), one.draft.raw_key.decode(), one.draft.tagset.tags if tagged else ())


def strings(data: bytes) -> Callable[[object, str], object]:
    """Puts bytes under a name."""
    return lambda client, name: client.set(name, data)


FOREIGN: dict[str, Callable[..., object]] = {
    "an empty string": strings(b""),
    "a byte": strings(b"\xf5"),
    "the magic alone": strings(MAGIC),
    "text": strings(b"somebody else's value" * 5),
    "a header of zeros": strings(MAGIC + bytes(42)),
    "a list": lambda client, name: client.rpush(name, "x"),
    "a hash": lambda client, name: client.hset(name, "field", "x"),
    "a sorted set": lambda client, name: client.zadd(name, {"x": 1}),
}


class TooBusyError(Exception):
    """More happened in a cache than one call needs."""


@pytest.fixture
def busy(server: Server) -> Iterator[Cache]:
    """A cache on a server that gives up when it goes round in circles."""
    events: list[Event] = []

    def count(event: Event) -> None:
        events.append(event)
        if len(events) > 50:
            raise TooBusyError(events[-4:])

    with Cache.from_url(server.url, namespace="shop", timeout=2.0, on_event=count) as cache:
        yield cache


@pytest.mark.parametrize("foreign", FOREIGN)
class TestForeignValues:
    """What stands under an entry's name is not ours."""

    @pytest.fixture(autouse=True)
    def plant(self, server: Server, foreign: str) -> None:
        """Put it there."""
        with server.client as client:
            FOREIGN[foreign](client, "shop:e:k")

    def test_is_absent(self, busy: Cache) -> None:
        """It is no entry, to any verb that looks."""
        assert (busy.get("k"), busy.get_many(["k"]), busy.has_key("k"), busy.ttl("k")) == (None, {}, False, None)
        assert (busy.touch("k"), busy.delete("k")) == (False, False)

    def test_is_filled(self, busy: Cache) -> None:
        """Get_or_set loads, and puts its entry in that place."""
        assert [busy.get_or_set("k", lambda: "v", tags=["a"]), busy.get("k", tags=["a"])] == ["v", "v"]

    def test_is_replaced_by_add(self, busy: Cache) -> None:
        """Add stores, since there is no fresh entry."""
        assert [busy.add("k", "v"), busy.get("k")] == [True, "v"]

    def test_is_no_counter(self, busy: Cache) -> None:
        """Incr begins anew, and what it has counted is there."""
        assert [busy.incr("k", initial=0), busy.incr("k", initial=0), busy.get("k")] == [1, 2, 2]

    def test_is_replaced_by_set(self, busy: Cache) -> None:
        """Set puts its entry in that place."""
        assert [busy.set("k", "v"), busy.get("k")] == [True, "v"]


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@fuzz(300)
@given(st.one_of(PLAIN, st.binary(max_size=30)), st.sampled_from(["msgpack", "json"]))
def test_values_round_trip(value: object, name: str) -> None:
    """Plain data comes back equal, type for type, by either codec."""
    number, payload = codecs.encode(value, codecs.codec_named(name))
    back = codecs.decode(number, memoryview(payload))
    assert (back, repr(back)) == (value, repr(value))


@fuzz(400)
@given(st.lists(st.binary(max_size=40), min_size=3, max_size=8), st.integers(0, 255))
def test_random_payloads(payloads: list[bytes], other: int) -> None:
    """A random payload is decoded, or refused as undecodable, by every codec."""
    for payload in payloads:
        for number in (codecs.RAW, codecs.COUNTER, codecs.MSGPACK, codecs.JSON, other):
            with contextlib.suppress(DecodeError):
                codecs.decode(number, memoryview(payload))


@fuzz(300)
@given(st.one_of(ANY_TEXT, st.integers(), st.decimals(), st.fractions(), st.complex_numbers(), st.sets(st.integers())))
def test_any_value_is_carried_or_refused(value: object) -> None:
    """A value of whatever type is encoded, or refused as one that cannot be carried."""
    for name in ("msgpack", "json", "raw"):
        with contextlib.suppress(EncodeError):
            number, payload = codecs.encode(value, codecs.codec_named(name))
            codecs.decode(number, memoryview(payload))


def encodable(text: str, most: int) -> bool:
    """What keys and tags have in common, in other words than the library's."""
    if any(unicodedata.category(char) in ("Cs", "Cc") for char in text):
        return False
    return 1 <= len(text.encode()) <= most


def accepted(check: Callable[[str], object], text: str, refusal: type[Exception]) -> bool:
    """Whether a check accepts a text; any other exception than its own is a failure."""
    try:
        check(text)
    except refusal:
        return False
    return True


@fuzz(500)
@given(st.lists(TEXT, min_size=3, max_size=9))
def test_keys(texts: list[str]) -> None:
    """A text is a key, to the byte, or refused as a bad key: by its length and characters alone."""
    good = [text for text in texts if encodable(text, MAX_KEY_BYTES)]
    assert [text for text in texts if accepted(key_bytes, text, InvalidKeyError)] == good
    assert [key_bytes(text).decode() for text in good] == good


@fuzz(500)
@given(st.lists(TEXT, min_size=3, max_size=9))
def test_tags(texts: list[str]) -> None:
    """A text is a tag, unchanged, or refused as a bad tag."""
    good = [text for text in texts if encodable(text, MAX_TAG_BYTES) and text[0] != "*" and all(text.split("/"))]
    assert [text for text in texts if accepted(check_tag, text, InvalidTagError)] == good
    assert [check_tag(text) for text in good] == good


OTHER_TYPES = st.one_of(
    st.none(), st.integers(), st.floats(), st.binary(), st.booleans(), st.lists(st.text(), max_size=2)
)


@fuzz(300)
@given(OTHER_TYPES)
def test_keys_and_tags_of_other_types(thing: object) -> None:
    """What is no str is neither a key nor a tag."""
    assert not accepted(key_bytes, thing, InvalidKeyError)
    assert not accepted(check_tag, thing, InvalidTagError)


KEYS = st.lists(
    st.one_of(st.text("ab:{}#lhe/%", min_size=1, max_size=8), ANY_TEXT).filter(
        lambda text: encodable(text, MAX_KEY_BYTES)
    ),
    min_size=2,
    max_size=8,
    unique=True,
)
HOME = st.one_of(st.just(""), st.text("ab:{}%", min_size=1, max_size=4), LEVEL)


@fuzz(600)
@given(KEYS)
@example(["#:k", "k"])
@example(["k" * 201, "k" * 202])
def test_two_keys_have_two_names(keys: list[str]) -> None:
    """No two keys share an entry, a lease, or one's entry with the other's lease."""
    entries = [NAMES.entry(key_bytes(key)) for key in keys]
    leases = [NAMES.lease(entry) for entry in entries]
    assert len({*entries, *leases, *NAMES.root_names}) == 2 * len(keys) + 16


@fuzz(600)
@given(KEYS, st.lists(HOME, min_size=8, max_size=8))
@example(["{a}:b", "b"], ["", "a"])
def test_two_keys_have_two_names_in_a_cluster(keys: list[str], homes: list[str]) -> None:
    """Clustered, no two keys share an entry or a lease, whatever the homes are."""
    entries = [CLUSTERED.entry(key_bytes(key), home) for key, home in zip(keys, homes, strict=False)]
    assert len({*entries, *map(CLUSTERED.lease, entries)}) == 2 * len(keys)


@fuzz(600)
@given(st.lists(TAG, min_size=2, max_size=8, unique=True))
@example(["{", "%7B", "%257B", "a{b}", "a{b"])
@example(["a/b", "a}/b", "a}", "}"])
def test_two_tags_have_two_stamps(tags: list[str]) -> None:
    """No two tags share a stamp, nor a tag's stamp any other name."""
    stamps = {names.stamp(tag) for names in (NAMES, CLUSTERED) for tag in tags}
    assert len(stamps) == len(tags)
    assert stamps.isdisjoint(NAMES.root_names)
    assert stamps.isdisjoint(NAMES.entry(key_bytes(tag)) for tag in tags)


@fuzz(300)
@given(st.lists(st.one_of(TAG, TAG, TAG, ANY_TEXT), max_size=36), st.sampled_from(["", "user:42/", "a/b/"]))
def test_tagsets(tags: list[str], prefix: str) -> None:
    """Any tags make a complete, sorted set within the limits, or are refused as bad tags."""
    declared = [*([prefix[:-1]] if prefix else []), *(prefix + tag for tag in tags)]
    every = {ancestor for tag in declared for ancestor in ancestry(tag)}
    good = all(accepted(check_tag, tag, InvalidTagError) for tag in (*tags, *every)) and len(every) <= MAX_TAGS
    assert accepted(lambda _: NAMES.make_tagset(prefix, tuple(tags)), "", InvalidTagError) == good
    with contextlib.suppress(InvalidTagError):
        tagset = NAMES.make_tagset(prefix, tuple(tags))
        assert tagset.tags == tuple(sorted(every))
        assert tagset.blob.decode().split("\0") == [*tagset.tags, ""]
        assert tagset.shape == MAGIC + struct.pack(">BH", len(every), len(tagset.blob))


@fuzz(400)
@given(st.text("ab{}:%/", min_size=1, max_size=12), TAG, st.lists(LEVEL, max_size=3))
def test_cluster_slots(key: str, tag: str, levels: list[str]) -> None:
    """Clustered, an entry shares one slot with its lease, its staged value, its root, and all stamps of its home."""
    home = tag.partition("/")[0]
    tagset = CLUSTERED.make_tagset("", (tag, *(f"{home}/{level}" for level in levels)))
    entry = CLUSTERED.entry(key_bytes(key), tagset.home)
    lease, root = CLUSTERED.lease(entry), CLUSTERED.root_of(key_bytes(key), tagset.home)
    names = [entry, lease, lease + b"\0token", root, *tagset.stamp_names]
    assert {key_slot(name) for name in names} == {key_slot(b"{" + tagset.stamp_names[0].split(b"{")[1])}


PARTS = st.lists(st.text("ab:/%2F3A", min_size=1, max_size=4), min_size=1, max_size=4).map(tuple)


@fuzz(400)
@given(st.lists(PARTS, min_size=2, max_size=6, unique=True))
def test_two_scopes_have_two_names(scopes: list[tuple[str, ...]]) -> None:
    """No two scopes share a name, and each is one level of a tag."""
    names = [":".join(map(quote_part, parts)) for parts in scopes]
    assert len(set(names)) == len(scopes)
    assert {len(ancestry(name)) for name in names} == {1}


@fuzz(300)
@given(TEXT, st.lists(TEXT, max_size=3), st.sampled_from(list(VERBS)), st.booleans())
def test_verbs_refuse_bad_keys_and_tags_only(key: str, tags: list[str], verb: str, scoped: bool) -> None:
    """Whatever text a verb is given for key and tags, it does its work or says which of them is bad."""
    cache = Cache.from_url("memory://", namespace="shop")
    with contextlib.suppress(InvalidKeyError, InvalidTagError, AbsentError):
        VERBS[verb](cache.scope("user", 42) if scoped else cache, key, tuple(tags))
