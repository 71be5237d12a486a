"""The envelope: every field at its place, and nothing but our own format is read."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import replace

import pytest

from unstale.core import layout
from unstale.core.codecs import codec_named
from unstale.core.entry import Draft, UnreadableError, parse, payload_of
from unstale.core.keys import MAX_KEY_BYTES, MAX_RECORDED, MAX_TAG_BYTES, MAX_TAGS, ROOTS, Names
from unstale.core.payloads import Payloads
from unstale.core.ports import HEAD_PROBE, PEEK_BYTES
from unstale.errors import DecodeError

NAMES = Names("shop")
KEY = b"orders:42"
TAGS = NAMES.make_tagset("", ("user:42/orders", "product:9"))
IDENTITY = bytes(range(100, 116))
STAMPS = tuple(bytes([n]) * 16 for n in range(1, 5))
DRAFT = Draft(
    raw_key=KEY,
    tagset=TAGS,
    codec=2,
    payload=b"payload\0with zeros\0",
    created_at=1700000000.25,
    ttl=300.0,
    load_seconds=0.5,
    fenced=True,
)
DATA = DRAFT.seal(IDENTITY, STAMPS)


@pytest.mark.parametrize(
    ("at", "form", "expected"),
    [
        (0, "2s", b"\xf5\x01"),
        (2, "B", 3),
        (3, "H", len(b"product:9\0user:42\0user:42/orders\0")),
        (5, "B", 1),
        (6, "B", 2),
        (7, "B", 0),
        (8, "d", 1700000000.25),
        (16, "f", 300.0),
        (20, "f", 0.0),
        (24, "f", 0.5),
        (28, "16s", IDENTITY),
        (44, "I", zlib.crc32(b"payload\0with zeros\0", 2)),
        (48, "64s", b"".join(STAMPS)),
        (112, "33s", b"product:9\0user:42\0user:42/orders\0"),
        (145, "10s", b"orders:42\0"),
    ],
)
def test_layout(at: int, form: str, expected: object) -> None:
    """Each field stands where the module's picture says, big-endian."""
    assert struct.unpack_from(f">{form}", DATA, at) == (expected,)


def test_payload_comes_last() -> None:
    """After the key's end there is the payload and nothing else."""
    assert DATA[parse(DATA).size :] == DRAFT.payload


@pytest.mark.parametrize("tags", [(), ("a",), ("a/b/c",), tuple(f"t{n}" for n in range(MAX_TAGS))], ids=len)
def test_size(tags: tuple[str, ...]) -> None:
    """An entry costs 48 bytes, 16 for each stamp, and its names with their ends."""
    tagset = NAMES.make_tagset("", tags)
    stamps = (bytes(16),) * (len(tagset.tags) + 1)
    data = replace(DRAFT, tagset=tagset, payload=b"").seal(IDENTITY, stamps)
    assert len(data) == 48 + 16 * len(stamps) + sum(len(tag) + 1 for tag in tagset.tags) + len(KEY) + 1


@pytest.mark.parametrize(
    ("name", "offset"),
    [
        ("FLAGS_AT", 5),
        ("CODEC_AT", 6),
        ("COMPRESSION_AT", 7),
        ("TIMES_AT", 8),
        ("IDENTITY_AT", 28),
        ("CHECK_AT", 44),
        ("STAMPS_AT", 48),
    ],
)
def test_offsets(name: str, offset: int) -> None:
    """The offsets that the hit path and the scripts use are those of the picture."""
    assert getattr(layout, name) == offset


def test_times_stand_together() -> None:
    """What `touch` writes anew is created at and ttl, in the header's own form."""
    at = layout.TIMES_AT
    assert layout.TIMES.unpack(DATA[at : at + layout.TIMES.size]) == (DRAFT.created_at, DRAFT.ttl)


def test_shape_is_the_beginning() -> None:
    """An entry begins with its tags' shape."""
    assert DATA.startswith(TAGS.shape)


def test_parse_gives_back_what_was_sealed() -> None:
    """The head of an entry is what its draft said."""
    head = parse(DATA)
    assert (head.key, head.tags, head.stamps) == (KEY, TAGS.tags, STAMPS)
    assert (head.fenced, head.identity, head.codec, head.compression) == (True, IDENTITY, 2, 0)
    assert (head.created_at, head.ttl, head.stale_ttl, head.load_seconds) == (1700000000.25, 300.0, 0.0, 0.5)
    assert head.size == len(DATA) - len(DRAFT.payload)


def test_parse_needs_no_payload() -> None:
    """A head without its payload is read."""
    assert parse(DATA[: parse(DATA).size]) == parse(DATA)


def test_no_limit() -> None:
    """An entry without a limit says infinity."""
    assert parse(replace(DRAFT, ttl=math.inf).seal(IDENTITY, STAMPS)).ttl == math.inf


def test_unfenced_entry_has_no_identity() -> None:
    """An entry that is bound to no server records none."""
    head = parse(replace(DRAFT, fenced=False).seal(IDENTITY, STAMPS))
    assert (head.fenced, head.identity) == (False, bytes(16))


def test_unknown_stamps_are_left_zero() -> None:
    """A stamp that is known only to the store is left zero, at its place."""
    head = parse(DRAFT.seal(IDENTITY, (STAMPS[0], None, None, STAMPS[3])))
    assert head.stamps == (STAMPS[0], bytes(16), bytes(16), STAMPS[3])


@pytest.mark.parametrize("size", range(parse(DATA).size))
def test_cut_short(size: int) -> None:
    """A head cut short, wherever, is not read."""
    with pytest.raises(UnreadableError):
        parse(DATA[:size])


@pytest.mark.parametrize("version", [0, 2, 3, 255])
def test_other_versions_are_refused(version: int) -> None:
    """Another version of the format is not read."""
    with pytest.raises(UnreadableError):
        parse(DATA[:1] + bytes([version]) + DATA[2:])


def changed(at: int, *values: int) -> bytes:
    """The entry with other bytes at an offset."""
    return DATA[:at] + bytes(values) + DATA[at + len(values) :]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xf5",
        b'{"json": "of somebody else\'s, and longer than the header is"}',
        b"\x80\x04\x95pickle" + bytes(100),
        bytes(200),
        b"\xff" * 200,
        changed(0, 0xF4),
        changed(2, 2),
        changed(2, 4),
        changed(2, 255),
        changed(3, 0, 32),
        changed(3, 0, 34),
        changed(3, 255, 255),
        changed(5, 9),
        changed(5, 2),
        changed(5, 0x81),
        changed(112, 0xFF),
        changed(121, ord("x")),
        changed(114, 0),
    ],
    ids=[
        *("nothing", "one byte", "json", "pickle", "zeros", "ones", "magic", "fewer tags", "more tags", "most tags"),
        *("shorter names", "longer names", "longest names", "unknown flag", "identity of no use", "high flag"),
        *("not utf-8", "an end less", "an end more"),
    ],
)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    """What does not follow the layout is not read."""
    with pytest.raises(UnreadableError):
        parse(data)


def entry_with(*tags: str) -> bytes:
    """An entry that records these tags, whether they may be tags or not."""
    blob = b"".join(tag.encode() + b"\0" for tag in tags)
    return (
        layout.shape(len(tags), len(blob))
        + DATA[5 : layout.STAMPS_AT]
        + bytes(16) * (len(tags) + 1)
        + blob
        + KEY
        + b"\0"
    )


@pytest.mark.parametrize("tag", ["*", "*x", "*16384", "*-1", "*1_0", "*07", "*٣", "*1/a"], ids=ascii)
def test_unknown_roots_are_refused(tag: str) -> None:
    """An entry whose tags name a root that there is not is not read."""
    with pytest.raises(UnreadableError):
        parse(entry_with("a", tag))


def test_more_tags_than_allowed_are_refused() -> None:
    """An entry with more tags than one may carry is not read; roots do not count."""
    most = [f"t{n:02}" for n in range(MAX_TAGS)]
    roots = sorted(f"*{n}" for n in range(ROOTS))
    assert parse(entry_with(*roots, *most)).tags == (*roots, *most)
    with pytest.raises(UnreadableError):
        parse(entry_with(*most, "t99"))


@pytest.mark.parametrize("tags", [("b", "a"), ("a", "a"), ("a", "*7")], ids=repr)
def test_tags_in_another_order_are_refused(tags: tuple[str, ...]) -> None:
    """An entry whose tags are not sorted, or not each once, is not read."""
    with pytest.raises(UnreadableError):
        parse(entry_with(*tags))


def test_unfenced_entry_with_an_identity_is_refused() -> None:
    """An entry that says that its identity does not count, and has one, was tampered with."""
    with pytest.raises(UnreadableError):
        parse(changed(layout.FLAGS_AT, 0))


def value_of(data: bytes, size: int) -> object:
    """The value of an entry's bytes, checked and decoded."""
    return Payloads(codec_named("msgpack")).value(data, payload_of(data, size))


@pytest.mark.parametrize(
    ("codec", "payload", "value"),
    [(0, b"", b""), (0, b"raw", b"raw"), (1, bytes(7) + b"\5", 5), (2, b"\xa1x", "x"), (3, b'"x"', "x")],
)
def test_value(codec: int, payload: bytes, value: object) -> None:
    """The value of an entry is its payload, decoded by its codec."""
    data = replace(DRAFT, codec=codec, payload=payload).seal(IDENTITY, STAMPS)
    assert value_of(data, parse(data).size) == value


@pytest.mark.parametrize("size", range(1, 4))
def test_payload_cut_short(size: int) -> None:
    """A payload that lacks bytes at its end is damaged, also where the codec could read the rest."""
    data = replace(DRAFT, codec=0, payload=b"raw").seal(IDENTITY, STAMPS)
    with pytest.raises(DecodeError, match="damaged"):
        value_of(data[:-size], parse(data).size)


def test_payload_of_another_codec() -> None:
    """A payload whose codec was changed is damaged, also where the other codec could read it."""
    data = replace(DRAFT, codec=2, payload=b"1").seal(IDENTITY, STAMPS)
    with pytest.raises(DecodeError, match="damaged"):
        value_of(data[:6] + b"\3" + data[7:], parse(data).size)


def test_counter_that_a_script_has_changed() -> None:
    """A counter's checksum holds for every count: Lua has no CRC."""
    data = replace(DRAFT, codec=1, payload=bytes(8)).seal(IDENTITY, STAMPS)
    assert value_of(data[:-1] + b"\7", parse(data).size) == 7


def test_peek_covers_the_longest_head() -> None:
    """What `peek` fetches holds the head of the largest entry that the limits allow."""
    stamps = 16 * (MAX_RECORDED + 1)
    roots = len("*16383\0") * (MAX_RECORDED - MAX_TAGS)
    names = (MAX_TAG_BYTES + 1) * MAX_TAGS + roots + MAX_KEY_BYTES + 1
    assert layout.STAMPS_AT + stamps + names <= PEEK_BYTES


def test_probe_covers_header_and_first_stamp() -> None:
    """What tells one fill from another is the header with its times, and a stamp."""
    assert HEAD_PROBE == layout.STAMPS_AT + 16
