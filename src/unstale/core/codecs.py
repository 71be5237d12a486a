"""Codecs: a value to bytes and back. What a value is decides first: bytes travel raw, small unsigned ints as counters.

Everything else goes through the cache's own codec: msgpack by default, or JSON. None of them can run code.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

from unstale.errors import ConfigurationError, DecodeError, EncodeError

RAW: Final = 0
COUNTER: Final = 1
MSGPACK: Final = 2
JSON: Final = 3

MAX_COUNTER: Final = 2**53 - 1
"""The largest counter: what the doubles of the server's Lua carry exactly."""

_COUNTER: Final = struct.Struct(">Q")


class Codec(Protocol):
    """What a codec has.

    Attributes:
        number: what stands in an entry's header for it.
    """

    number: int

    def encode(self, value: Any) -> bytes:
        """Bytes of a value. Raises EncodeError."""

    def decode(self, payload: memoryview) -> Any:
        """The value of these bytes. Raises DecodeError."""


class Raw:
    """Bytes, as they are."""

    number: int = RAW

    def encode(self, value: Any) -> bytes:
        """Take bytes, bytearray or memoryview."""
        try:
            return bytes(memoryview(value))
        except TypeError as error:
            raise EncodeError(f"The raw codec carries bytes, not {type(value).__name__}.") from error

    def decode(self, payload: memoryview) -> bytes:
        """Give bytes."""
        return bytes(payload)


class Counter:
    """Unsigned integers up to MAX_COUNTER, eight bytes, so that a script can count in place."""

    number: int = COUNTER

    def encode(self, value: Any) -> bytes:
        """Take an int from 0 to MAX_COUNTER."""
        if type(value) is not int or not 0 <= value <= MAX_COUNTER:
            raise EncodeError("A counter is an int from 0 to 2**53 - 1.")
        return _COUNTER.pack(value)

    def decode(self, payload: memoryview) -> int:
        """Give an int."""
        if len(payload) != _COUNTER.size:
            raise DecodeError("A counter has eight bytes.")
        count = int(_COUNTER.unpack(payload)[0])
        if count > MAX_COUNTER:
            raise DecodeError("A counter is at most 2**53 - 1.")
        return count


class _Library:
    """A codec whose work a library does, which is imported when the codec is first wanted (msgspec takes 50 ms)."""

    label: str
    _encode: Callable[[Any], bytes]
    _decode: Callable[[memoryview], Any]

    def __init__(self) -> None:
        """Find the errors that mean: cannot be encoded, cannot be decoded."""
        import msgspec  # noqa: PLC0415

        self._errors = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)

    def encode(self, value: Any) -> bytes:
        """Encode a value, or raise EncodeError."""
        try:
            return self._encode(value)
        except self._errors as error:
            raise EncodeError(f"{self.label} cannot carry this {type(value).__name__}: {_kind(error)}.") from error

    def decode(self, payload: memoryview) -> Any:
        """Decode a value, or raise DecodeError."""
        try:
            return self._decode(payload)
        except self._errors as error:
            raise DecodeError(f"The payload is not {self.label}.") from error


class MsgPack(_Library):
    """MessagePack by msgspec: plain data, and datetimes and UUIDs as text. Dataclasses come back as dicts."""

    number: int = MSGPACK
    label = "MessagePack"

    def __init__(self) -> None:
        """Make the encoder and decoder once; both may be shared between threads."""
        super().__init__()
        import msgspec  # noqa: PLC0415

        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder().decode


class Json(_Library):
    """JSON: by orjson where it is installed (extra `json`), by msgspec otherwise."""

    number: int = JSON
    label = "JSON"

    def __init__(self) -> None:
        """Find the library once."""
        super().__init__()
        try:
            import orjson  # noqa: PLC0415 - optional
        except ImportError:
            import msgspec  # noqa: PLC0415

            self._encode, self._decode = msgspec.json.encode, msgspec.json.decode
        else:
            self._encode, self._decode = orjson.dumps, orjson.loads


def _kind(error: Exception) -> str:
    """The reason without the value: msgspec and orjson name types, and only types are repeated."""
    text = str(error)
    return text if "unsupported" in text or "not JSON serializable" in text else type(error).__name__


_KINDS: Final[dict[int, Callable[[], Codec]]] = {RAW: Raw, COUNTER: Counter, MSGPACK: MsgPack, JSON: Json}
_made: Final[dict[int, Codec]] = {RAW: Raw(), COUNTER: Counter()}


def _codec(number: int) -> Codec | None:
    codec = _made.get(number)
    if codec is None and number in _KINDS:
        codec = _made[number] = _KINDS[number]()
    return codec


_NAMES: Final = {"raw": RAW, "msgpack": MSGPACK, "json": JSON}


def codec_named(name: str) -> Codec:
    """The codec of this name: "msgpack", "json" or "raw".

    Raises:
        ConfigurationError: no codec has this name.
    """
    if str(name) not in _NAMES:
        raise ConfigurationError(f"There is no codec {name!r}. Choose one of: {', '.join(sorted(_NAMES))}.")
    codec = _codec(_NAMES[name])
    assert codec is not None  # noqa: S101 - each name has a kind
    return codec


def encode(value: Any, codec: Codec) -> tuple[int, bytes]:
    """Encode by the kind of value: bytes raw, small unsigned integers as counters, the rest by `codec`.

    Returns:
        The number of the codec that was used, and the payload.

    Raises:
        EncodeError: the codec cannot carry the value.
    """
    kind = type(value)
    if kind is bytes:
        return RAW, value
    if kind is int and 0 <= value <= MAX_COUNTER:
        return COUNTER, _COUNTER.pack(value)
    return codec.number, codec.encode(value)


def decode(number: int, payload: memoryview) -> Any:
    """Decode a payload by the number in its header.

    Raises:
        DecodeError: an unknown number, or bytes that the codec cannot read.
    """
    codec = _codec(number)
    if codec is None:
        raise DecodeError(f"No codec has the number {number}; a later release may have written it.")
    return codec.decode(payload)
