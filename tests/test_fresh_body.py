"""The quick look at a signed entry says what the two slower steps say, whatever stands in Redis or stood there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale.core.codecs import PICKLE
from unstale.core.entry import Draft
from unstale.core.freshness import MAX_VERIFIED, MAX_VERIFIED_BYTES, fresh_body, fresh_payload, names_blob
from unstale.core.keys import Names
from unstale.core.signing import Signer
from unstale.errors import DecodeError

NAMES = Names("test")
TAGS = NAMES.make_tagset("", ("user:42/orders", "product:9"))
KEY = b"orders:42"
STAMPS = (b"a" * 16, b"b" * 16, b"c" * 16, b"r" * 16)
IDENTITY = b"i" * 16
OLD_KEY = "an older key 0123456789-abcdefghijklmnop"
SIGNER = Signer(["a key of fifty characters 0123456789-abcdefghijklmnop", OLD_KEY], "test")
OLDER = Signer(OLD_KEY, "test")
FOREIGN = Signer("a stranger's key 0123456789-abcdefghijklmnop", "test")


def sealed(signer: Signer = SIGNER, *, fenced: bool = True, body: bytes = b"the body") -> bytes:
    """A signed entry."""
    return Draft(KEY, TAGS, PICKLE, body, 1e9, 300.0, 0.1, fenced, signer=signer).seal(IDENTITY, STAMPS)


def quick(data: bytes, stamps: Any = STAMPS, identity: bytes = IDENTITY) -> bytes | None:
    """The quick look."""
    return fresh_body(data, TAGS, names_blob(TAGS, KEY), stamps, identity, SIGNER)


def slow(data: bytes, stamps: Any = STAMPS, identity: bytes = IDENTITY) -> bytes | None:
    """Freshness first, then the signature."""
    payload = fresh_payload(data, TAGS, names_blob(TAGS, KEY), stamps, identity)
    if payload is None:
        return None
    try:
        return SIGNER.opened(data[: len(data) - len(payload)], payload)
    except DecodeError:
        return None


@pytest.fixture(params=[False, True], ids=["first look", "seen before"])
def seen(request: pytest.FixtureRequest) -> Iterator[None]:
    """The entry was verified before, or not: fenced, after one that is not."""
    SIGNER.verified.clear()
    if request.param:
        assert [quick(sealed(fenced=fenced)) for fenced in (False, False, True, True)] == [b"the body"] * 4
    yield
    SIGNER.verified.clear()


@pytest.mark.parametrize("signer", [SIGNER, OLDER], ids=["first key", "older key"])
@pytest.mark.parametrize("fenced", [True, False])
@pytest.mark.parametrize("body", [b"", b"x", b"x" * 5000])
def test_a_fresh_entry(signer: Signer, fenced: bool, body: bytes) -> None:
    """Its body, signed with whichever key of ours."""
    data = sealed(signer, fenced=fenced, body=body)
    assert [quick(data), slow(data)] == [body, body]


@pytest.mark.usefixtures("seen")
def test_a_strangers_entry() -> None:
    """Nothing."""
    assert [quick(sealed(FOREIGN)), slow(sealed(FOREIGN))] == [None, None]


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("bit", [1, 0x80])
def test_every_byte_counts(bit: int) -> None:
    """But for the times, which `touch` writes, no byte can be changed; and none that changes what is said."""
    data, served = sealed(), []
    for at in range(len(data)):
        changed = bytearray(data)
        changed[at] ^= bit
        assert quick(bytes(changed)) == slow(bytes(changed))
        served += [at] if quick(bytes(changed)) else []
    assert served == list(range(8, 20))


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("end", range(1, 60))
def test_cut_short(end: int) -> None:
    """Nothing, and no error."""
    assert [quick(sealed()[:-end]), slow(sealed()[:-end])] == [None, None]


@pytest.mark.usefixtures("seen")
@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("stamp", [None, b"", b"x" * 16, b"a" * 15, b"a" * 17, 7])
def test_every_stamp_counts(at: int, stamp: Any) -> None:
    """Another stamp, none, a closed one, or what is no stamp."""
    stamps = (*STAMPS[:at], stamp, *STAMPS[at + 1 :])
    assert [quick(sealed(), stamps), slow(sealed(), stamps)] == [None, None]


@pytest.mark.usefixtures("seen")
def test_stamps_of_other_lengths() -> None:
    """Stamps that come to the same bytes together are none."""
    stamps = (b"a" * 16 + b"b", b"b" * 15, *STAMPS[2:])
    assert [quick(sealed(), stamps), slow(sealed(), stamps)] == [None, None]


@pytest.mark.usefixtures("seen")
def test_the_server_counts() -> None:
    """Where the entry is fenced."""
    assert [quick(sealed(), identity=b"j" * 16), quick(sealed(fenced=False), identity=b"j" * 16)] == [None, b"the body"]


@given(st.binary(max_size=300), st.integers(0, 200))
def test_other_bytes(noise: bytes, at: int) -> None:
    """Whatever the bytes, both say the same."""
    data = sealed()
    data = data[:at] + noise + data[at + len(noise) :]
    assert quick(data) == slow(data)


def test_what_is_seen_again_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bytes under the same stamps: their body, without the signer's keys. Another entry needs them."""
    signer = Signer(OLD_KEY, "test")
    data, other = sealed(signer), sealed(signer, body=b"another body")

    def look(entry: bytes) -> bytes | None:
        return fresh_body(entry, TAGS, names_blob(TAGS, KEY), STAMPS, IDENTITY, signer)

    assert [look(data), look(data)] == [b"the body", b"the body"]
    monkeypatch.setattr(signer, "begun", {})
    assert [look(data), look(other)] == [b"the body", None]


def test_what_is_seen_once_is_not_kept() -> None:
    """Of an entry that is never read again, or of one that changes with each read, its beginning is kept."""
    signer = Signer(OLD_KEY, "test")
    for created_at in (1e9, 2e9, 1e9):
        data = Draft(KEY, TAGS, PICKLE, b"the body", created_at, 300.0, 0.1, True, signer=signer).seal(IDENTITY, STAMPS)
        assert fresh_body(data, TAGS, names_blob(TAGS, KEY), STAMPS, IDENTITY, signer) == b"the body"
        assert list(signer.verified.values()) == [data[:28]]


def test_large_entries_are_not_remembered() -> None:
    """Above the limit nothing is kept."""
    signer = Signer(OLD_KEY, "test")
    for body in (b"x" * (MAX_VERIFIED_BYTES // 2), b"x" * MAX_VERIFIED_BYTES):
        data = sealed(signer, body=body)
        for _ in range(3):
            assert fresh_body(data, TAGS, names_blob(TAGS, KEY), STAMPS, IDENTITY, signer) == body
    assert [kept[1] for kept in signer.verified.values()] == [b"x" * (MAX_VERIFIED_BYTES // 2)]


def test_few_entries_are_remembered() -> None:
    """However many keys are read, there are never more than the limit; and the last is always there."""
    signer = Signer(OLD_KEY, "test")
    for number in range(MAX_VERIFIED + 10):
        key = b"key:%d" % number
        data = Draft(key, TAGS, PICKLE, b"the body", 1e9, 300.0, 0.1, True, signer=signer).seal(IDENTITY, STAMPS)
        names = names_blob(TAGS, key)
        for _ in range(2):
            assert fresh_body(data, TAGS, names, STAMPS, IDENTITY, signer) == b"the body"
        assert type(signer.verified[names]) is tuple
        assert len(signer.verified) <= MAX_VERIFIED
