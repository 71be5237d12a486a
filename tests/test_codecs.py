"""Codecs: what travels how, what comes back, and that nothing unreadable raises anything but DecodeError."""

from __future__ import annotations

import builtins
import datetime as dt
import json
import math
import struct
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from unstale.core import codecs
from unstale.core.codecs import COUNTER, JSON, MAX_COUNTER, MSGPACK, RAW, Codec, codec_named, decode, encode
from unstale.errors import ConfigurationError, DecodeError, EncodeError

LIBRARY = ["msgpack", "json"]
NUMBERS = {"raw": RAW, "msgpack": MSGPACK, "json": JSON}


def round_trip(value: Any, name: str = "msgpack") -> Any:
    """A value through its bytes."""
    number, payload = encode(value, codec_named(name))
    return decode(number, memoryview(payload))


def exactly(value: Any) -> tuple[type, str]:
    """A value's type and text: equal for -0.0 and nan only if they are the same."""
    return type(value), repr(value)


def test_numbers_are_fixed() -> None:
    """The numbers in stored headers never change their meaning."""
    assert (RAW, COUNTER, MSGPACK, JSON) == (0, 1, 2, 3)
    assert {name: codec_named(name).number for name in NUMBERS} == NUMBERS


@pytest.mark.parametrize("name", ["", "MSGPACK", "counter", None, 2], ids=repr)
def test_unknown_codec(name: object) -> None:
    """A codec that there is not is refused, with those that there are."""
    with pytest.raises(ConfigurationError, match="Choose one of: json, msgpack, pickle, raw"):
        codec_named(name)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [b"", b"bytes", b"\0\xff" * 1000], ids=len)
def test_bytes_travel_raw(name: str, value: bytes) -> None:
    """Bytes go as they are, under every codec."""
    assert encode(value, codec_named(name)) == (RAW, value)
    assert exactly(round_trip(value, name)) == exactly(value)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", [0, 1, -1, 255, 2**32, -(2**32), MAX_COUNTER, -MAX_COUNTER])
def test_integers_are_counters(name: str, value: int) -> None:
    """An int from -(2**53 - 1) to 2**53 - 1 is eight bytes, under every codec."""
    assert encode(value, codec_named(name)) == (COUNTER, struct.pack(">q", value))
    assert exactly(round_trip(value, name)) == exactly(value)


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("value", [MAX_COUNTER + 1, -MAX_COUNTER - 1, 2**63, -(2**63), True, False, 0.0, 1.0], ids=repr)
def test_other_numbers_are_no_counters(name: str, value: object) -> None:
    """Other ints, bools and floats go through the codec, and keep their type."""
    number, _ = encode(value, codec_named(name))
    assert number == NUMBERS[name]
    assert exactly(round_trip(value, name)) == exactly(value)


PLAIN = [
    None,
    "",
    "text",
    "日本語",
    "\0",
    [],
    {},
    [1, [2, [3]]],
    {"a": {"b": None}, "c": [True, 1.5]},
    -0.0,
    1e300,
    5e-324,
]


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values(name: str, value: object) -> None:
    """Plain data comes back equal, type for type."""
    assert exactly(round_trip(value, name)) == exactly(value)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan], ids=repr)
def test_msgpack_carries_every_float(value: float) -> None:
    """MessagePack carries infinity and nan."""
    assert exactly(round_trip(value)) == exactly(value)


@pytest.mark.parametrize(
    ("value", "back"),
    [
        ((1, 2), [1, 2]),
        ({1: "a"}, {1: "a"}),
        ([b"nested"], [b"nested"]),
        (bytearray(b"ab"), b"ab"),
        (memoryview(b"ab"), b"ab"),
        (dt.datetime(2024, 5, 6, tzinfo=dt.UTC), dt.datetime(2024, 5, 6, tzinfo=dt.UTC)),
        (uuid.UUID(int=7), str(uuid.UUID(int=7))),
        ({3}, [3]),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_what_msgpack_makes_of_the_rest(value: object, back: object) -> None:
    """What MessagePack has no type for comes back as the nearest it has."""
    assert exactly(round_trip(value)) == exactly(back)


def test_dataclass_comes_back_as_a_dict() -> None:
    """A dataclass is stored by its fields."""

    @dataclass
    class Order:
        number: int
        lines: list[str]

    assert round_trip(Order(7, ["tea"])) == {"number": 7, "lines": ["tea"]}


def recursive() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


UNCARRIED = [object(), lambda: 1, "\ud800", recursive(), 10**40, {"a": object()}, [1 + 2j]]


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("value", UNCARRIED, ids=lambda value: type(value).__name__)
def test_what_cannot_be_carried(name: str, value: object) -> None:
    """A value that the codec cannot carry is refused with the codec's name and the value's type."""
    label = {"msgpack": "MessagePack", "json": "JSON"}[name]
    with pytest.raises(EncodeError, match=f"^{label} cannot carry this {type(value).__name__}: ") as caught:
        encode(value, codec_named(name))
    assert (caught.value.__cause__, caught.value.__suppress_context__) == (None, True)  # which may show the value


@pytest.mark.parametrize("name", LIBRARY)
@pytest.mark.parametrize("value", ["secret\ud800", {"secret": object()}, {"secret": 10**40}, [object(), "secret"]])
def test_error_does_not_tell_the_value(name: str, value: object) -> None:
    """The message of a refusal names types only."""
    with pytest.raises(EncodeError) as caught:
        encode(value, codec_named(name))
    assert "secret" not in str(caught.value)


def test_error_does_not_repeat_an_unknown_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an error whose text could hold anything only the type is told."""

    def fail(_: object) -> bytes:
        raise ValueError("secret")

    codec = codecs.MsgPack()
    monkeypatch.setattr(codec, "_encode", fail)
    with pytest.raises(EncodeError, match=r"^MessagePack cannot carry this list: ValueError\.$"):
        codec.encode([])


def test_raw_codec_carries_none() -> None:
    """The raw codec carries None: a loader may find that there is nothing."""
    assert round_trip(None, "raw") is None


@pytest.mark.parametrize("value", ["text", 1.5, [1], 2**53, {"a": 1}], ids=repr)
def test_raw_codec_carries_bytes_only(value: object) -> None:
    """The raw codec refuses what is not bytes."""
    with pytest.raises(EncodeError, match=f"The raw codec carries bytes, not {type(value).__name__}"):
        encode(value, codec_named("raw"))


@pytest.mark.parametrize(
    "value",
    [bytearray(b"ab"), memoryview(b"ab"), memoryview(b"a-b-")[::2]],
    ids=lambda value: repr(value).partition(" at 0x")[0],
)
def test_raw_codec_takes_buffers(value: Any) -> None:
    """The raw codec takes whatever holds bytes."""
    assert round_trip(value, "raw") == b"ab"


@pytest.mark.parametrize("value", [-MAX_COUNTER - 1, MAX_COUNTER + 1, True, 1.0, "1"], ids=repr)
def test_counter_refuses_other_values(value: object) -> None:
    """The counter's codec takes an int from -(2**53 - 1) to 2**53 - 1."""
    with pytest.raises(EncodeError, match="from -"):
        codecs.Counter().encode(value)


def test_counter_encodes() -> None:
    """The counter's codec writes eight bytes, big-endian."""
    assert codecs.Counter().encode(258) == b"\0\0\0\0\0\0\1\2"


@pytest.mark.parametrize("size", [0, 1, 7, 9, 16])
def test_counter_of_another_size(size: int) -> None:
    """A counter that has not eight bytes is not read."""
    with pytest.raises(DecodeError):
        decode(COUNTER, memoryview(bytes(size)))


@pytest.mark.parametrize("number", [5, 63, 99, 255])
def test_unknown_numbers(number: int) -> None:
    """A payload of a codec that this release does not have is not read, and the number is named."""
    with pytest.raises(DecodeError, match=f"the number {number}"):
        decode(number, memoryview(b"x"))


@pytest.mark.parametrize(
    ("number", "payload"),
    [
        (MSGPACK, b""),
        (MSGPACK, b"\xc1"),
        (MSGPACK, b"\x92\x01"),
        (MSGPACK, b"\x01\x01"),
        (MSGPACK, b"\xa1\xff"),
        (MSGPACK, b"\xdd\xff\xff\xff\xff"),
        (MSGPACK, b"\x91" * 100_000),
        (JSON, b""),
        (JSON, b"{"),
        (JSON, b'"\xff"'),
        (JSON, b"1 2"),
        (JSON, b"[" * 100_000),
    ],
    ids=[
        *("msgpack: empty", "unused", "cut short", "too long", "not utf-8", "a huge list", "deep"),
        *("json: empty", "cut short", "not utf-8", "too long", "deep"),
    ],
)
def test_unreadable_payloads(number: int, payload: bytes) -> None:
    """A payload that is not of its codec is not read, and the error does not tell it."""
    with pytest.raises(DecodeError, match=r"The payload is not (MessagePack|JSON)"):
        decode(number, memoryview(payload))


def test_decoded_bytes_do_not_hold_the_entry() -> None:
    """What is decoded is a copy: no view keeps the whole entry alive."""
    payload = memoryview(b"header" + msgspec.msgpack.encode([b"nested"]))[6:]
    [nested] = decode(MSGPACK, payload)
    assert (type(nested), type(decode(RAW, payload))) == (bytes, bytes)


@pytest.fixture
def without_orjson(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installation without the extra `json`."""
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "orjson":
            raise ImportError(name)
        return real(name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(builtins, "__import__", without)
        yield


def both_ways(codec: Codec, value: object) -> object:
    """A value through one codec."""
    return codec.decode(memoryview(codec.encode(value)))


@pytest.mark.usefixtures("without_orjson")
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_json_without_orjson(value: object) -> None:
    """JSON works without orjson, by msgspec."""
    codec = codecs.Json()
    assert codec._decode is msgspec.json.decode
    assert exactly(both_ways(codec, value)) == exactly(value)


@pytest.mark.usefixtures("without_orjson")
def test_json_errors_without_orjson() -> None:
    """Without orjson, too, what cannot be carried or read raises our errors."""
    codec = codecs.Json()
    with pytest.raises(EncodeError, match="JSON cannot carry this object"):
        codec.encode(object())
    with pytest.raises(DecodeError):
        codec.decode(memoryview(b"{"))


def test_json_of_one_library_is_read_by_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process with orjson stored, one without reads, and the other way round."""
    value = {"a": [1, -2.5, None, "é\n"], "b": {"c": True}}
    with_orjson = codecs.Json()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)
        without = codecs.Json()
    assert without._encode is not with_orjson._encode
    for one, other in ((with_orjson, without), (without, with_orjson)):
        assert other.decode(memoryview(one.encode(value))) == value


def test_json_is_json() -> None:
    """What the JSON codec stores, any program reads."""
    _, payload = encode({"a": [1, None]}, codec_named("json"))
    assert json.loads(payload) == {"a": [1, None]}


def test_libraries_are_imported_when_wanted() -> None:
    """The module imports neither msgspec nor orjson by itself."""
    code = "import sys, unstale.core.codecs; print([m for m in ('msgspec', 'orjson') if m in sys.modules])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
