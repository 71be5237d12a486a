"""Codecs: a value to bytes and back. What a value is decides first: bytes travel raw, most ints as counters.

Everything else goes through the cache's own codec: msgpack by default, JSON, pickle, or one of the user's own. Only
pickle can run code, so its payloads are opened only after their signature was verified (`payloads`).

An EncodeError reaches callers and their logs, and what is behind it may show the value (a UnicodeEncodeError holds it):
so it names the kind of what is behind it, and nothing is chained.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from unstale.errors import ConfigurationError, DecodeError, EncodeError

RAW: Final = 0
COUNTER: Final = 1
MSGPACK: Final = 2
JSON: Final = 3
PICKLE: Final = 4
OWN_CODECS: Final = range(64, 256)
"""The numbers that codecs of the users' own may have."""

MAX_COUNTER: Final = 2**53 - 1
"""The largest counter, and below zero the smallest: what the doubles of the server's Lua carry exactly."""
PICKLE_PROTOCOL: Final = 5
"""Of Python 3.8 and newer: fixed, so that an older Python of the same fleet can read what a newer one stored."""

_NIL: Final = b"\xc0"
"""MessagePack's nil."""
_COUNTER: Final = struct.Struct(">q")


Quick: TypeAlias = "tuple[Callable[[Any], Any], tuple[type[Exception], ...]]"
"""How to decode bytes without a call in between, for the hit path, and what is raised where they cannot be read."""


@runtime_checkable
class Codec(Protocol):
    """What a codec has. One of your own is an object with these, given as `codec=` to the cache.

    Attributes:
        number: what stands in an entry's header for it: from 64 to 255 for your own, and never changed afterwards.
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
        except TypeError:
            raise EncodeError(f"The raw codec carries bytes, not {type(value).__name__}.") from None

    def decode(self, payload: memoryview) -> bytes:
        """Give bytes."""
        return bytes(payload)


class Counter:
    """Integers from -MAX_COUNTER to MAX_COUNTER, eight bytes, so that a script can count in place."""

    number: int = COUNTER

    def encode(self, value: Any) -> bytes:
        """Take an int from -MAX_COUNTER to MAX_COUNTER."""
        if type(value) is not int or not -MAX_COUNTER <= value <= MAX_COUNTER:
            raise EncodeError("A counter is an int from -(2**53 - 1) to 2**53 - 1.")
        return _COUNTER.pack(value)

    def decode(self, payload: memoryview) -> int:
        """Give an int."""
        if len(payload) != _COUNTER.size:
            raise DecodeError("A counter has eight bytes.")
        count = int(_COUNTER.unpack(payload)[0])
        if not -MAX_COUNTER <= count <= MAX_COUNTER:
            raise DecodeError("A counter is from -(2**53 - 1) to 2**53 - 1.")
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

    @property
    def quick(self) -> Quick:
        """See Quick."""
        return self._decode, self._errors

    def encode(self, value: Any) -> bytes:
        """Encode a value, or raise EncodeError."""
        try:
            return self._encode(value)
        except self._errors as error:
            raise EncodeError(f"{self.label} cannot carry this {type(value).__name__}: {_kind(error)}.") from None

    def decode(self, payload: memoryview) -> Any:
        """Decode a value, or raise DecodeError."""
        try:
            return self._decode(payload)
        except self._errors as error:
            raise DecodeError(f"The payload is not {self.label}.") from error

    def decode_into(self, payload: memoryview, into: Any) -> Any:
        """Decode a value of a type: plain data first, then the type made of it."""
        return self._into(lambda: convert(self._decode(payload), into))

    def _into(self, decode: Callable[[], Any]) -> Any:
        try:
            return decode()
        except self._errors as error:
            raise DecodeError(f"The payload is not the {self.label} of the type that was asked for.") from error


def _plain(value: Any) -> Any:
    """Plain data for what the libraries do not know: pydantic's models."""
    dump = getattr(type(value), "model_dump", None)
    if dump is None:
        raise TypeError(f"unsupported type {type(value).__name__}")
    return dump(value, round_trip=True, by_alias=True)


def _plain_for_json(value: Any) -> Any:
    """The same for orjson, which does not know msgspec's structs either."""
    import msgspec  # noqa: PLC0415

    return msgspec.to_builtins(value, enc_hook=_plain) if isinstance(value, msgspec.Struct) else _plain(value)


def _made_of(into: type, plain: Any) -> Any:
    """A value of a type that msgspec does not know: pydantic's models."""
    validate = getattr(into, "model_validate", None)
    if validate is None:
        raise TypeError(f"unsupported type {into.__name__}")
    return validate(plain, strict=False)


@lru_cache(maxsize=256)
def _typed_decoder(into: Any) -> Callable[[memoryview], Any]:
    import msgspec  # noqa: PLC0415

    decode: Callable[[memoryview], Any] = msgspec.msgpack.Decoder(into, strict=False, dec_hook=_made_of).decode
    return decode


def convert(value: Any, into: Any) -> Any:
    """Make a value of a type from plain data.

    Raises:
        TypeError, ValueError, msgspec.MsgspecError: this data makes no such value.
    """
    import msgspec  # noqa: PLC0415

    return msgspec.convert(value, into, strict=False, dec_hook=_made_of)


class MsgPack(_Library):
    """MessagePack by msgspec: plain data, and datetimes and UUIDs as text. Dataclasses come back as dicts."""

    number: int = MSGPACK
    label = "MessagePack"

    def __init__(self) -> None:
        """Make the encoder and decoder once; both may be shared between threads."""
        super().__init__()
        import msgspec  # noqa: PLC0415

        self._encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
        self._decode = msgspec.msgpack.Decoder().decode

    def decode_into(self, payload: memoryview, into: Any) -> Any:
        """Decode a value of a type, straight from the bytes."""
        return self._into(lambda: _typed_decoder(into)(payload))


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

            self._encode, self._decode = msgspec.json.Encoder(enc_hook=_plain).encode, msgspec.json.decode
        else:
            self._encode, self._decode = partial(orjson.dumps, default=_plain_for_json), orjson.loads


class Pickle:
    """Pickle: any value that can be pickled, with its type. Whoever writes its bytes can run code: sign them."""

    number: int = PICKLE

    def __init__(self) -> None:
        """Import it once."""
        import pickle  # noqa: PLC0415 - see `payloads`, which opens nothing that was not signed

        self._dumps, self._loads = pickle.dumps, pickle.loads

    @property
    def quick(self) -> Quick:
        """See Quick."""
        return self._loads, (Exception,)

    def encode(self, value: Any) -> bytes:
        """Pickle a value. Whatever the value's own methods raise becomes EncodeError."""
        try:
            return self._dumps(value, protocol=PICKLE_PROTOCOL)
        except Exception as error:  # noqa: BLE001 - raises anew
            import pickle  # noqa: PLC0415 - as above

            text = f"This {type(value).__name__} cannot be pickled: {type(error).__name__}."
            # Not the error itself, whose text may hold the value: one of its kind, which Django's backend raises on.
            raise EncodeError(text) from (pickle.PicklingError(text) if isinstance(error, pickle.PickleError) else None)

    def decode(self, payload: memoryview) -> Any:
        """Unpickle a value. Its bytes have been authenticated; still, a class may be gone since: DecodeError."""
        try:
            return self._loads(payload)
        except Exception as error:
            raise DecodeError(f"The pickled value cannot be made again: {type(error).__name__}.") from error


def _kind(error: Exception) -> str:
    """The reason without the value: msgspec and orjson name types, and only types are repeated."""
    text = str(error)
    return text if "unsupported" in text or "not JSON serializable" in text else type(error).__name__


_KINDS: Final[dict[int, Callable[[], Codec]]] = {
    RAW: Raw,
    COUNTER: Counter,
    MSGPACK: MsgPack,
    JSON: Json,
    PICKLE: Pickle,
}


def quick_of(codec: Codec) -> Quick:
    """How to decode what this codec encoded, the quick way where it has one."""
    return codec.quick if isinstance(codec, _Library | Pickle) else (codec.decode, (DecodeError,))


_made: Final[dict[int, Codec]] = {RAW: Raw(), COUNTER: Counter()}


def _codec(number: int) -> Codec | None:
    codec = _made.get(number)
    if codec is None and number in _KINDS:
        codec = _made[number] = _KINDS[number]()
    return codec


_NAMES: Final = {"raw": RAW, "msgpack": MSGPACK, "json": JSON, "pickle": PICKLE}


def codec_named(name: str) -> Codec:
    """The codec of this name: "msgpack", "json", "pickle" or "raw".

    Raises:
        ConfigurationError: no codec has this name.
    """
    if str(name) not in _NAMES:
        raise ConfigurationError(f"There is no codec {name!r}. Choose one of: {', '.join(sorted(_NAMES))}.")
    codec = _codec(_NAMES[name])
    assert codec is not None  # noqa: S101 - each name has a kind
    return codec


def encode(value: Any, codec: Codec) -> tuple[int, bytes]:
    """Encode by the kind of value: bytes raw, integers up to MAX_COUNTER as counters, the rest by `codec`.

    Returns:
        The number of the codec that was used, and the payload.

    Raises:
        EncodeError: the codec cannot carry the value.
    """
    kind = type(value)
    if kind is bytes:
        return RAW, value
    if kind is int and -MAX_COUNTER <= value <= MAX_COUNTER:
        return COUNTER, _COUNTER.pack(value)
    if value is None and codec.number == RAW:  # raw bytes, or none of them
        return MSGPACK, _NIL
    return codec.number, codec.encode(value) if codec.number not in OWN_CODECS else _encode_own(codec, value)


def _encode_own(codec: Codec, value: Any) -> bytes:
    try:
        encoded = codec.encode(value)
    except EncodeError:
        raise
    except Exception as error:  # noqa: BLE001 - raises anew
        kind = type(error).__name__
        raise EncodeError(f"{type(codec).__name__} cannot carry this {type(value).__name__}: {kind}.") from None
    if type(encoded) is not bytes:
        raise EncodeError(f"{type(codec).__name__}.encode must return bytes, not {type(encoded).__name__}.")
    return encoded


def decode(number: int, payload: memoryview, own: Codec | None = None, into: Any = None) -> Any:
    """Decode a payload by the number in its header.

    Args:
        number: of the codec that encoded it.
        payload: its bytes; of a pickle only after they were authenticated.
        own: the cache's codec, which may be the user's own.
        into: the type that the value is to have; None for whatever the codec gives.

    Raises:
        DecodeError: an unknown number, or bytes that the codec cannot read.
    """
    codec = own if own is not None and own.number == number else _codec(number)
    if codec is None:
        raise DecodeError(f"No codec has the number {number}; a later release may have written it.")
    if into is not None and isinstance(codec, _Library):
        return codec.decode_into(payload, into)
    value = _decode_own(codec, payload) if number in OWN_CODECS else codec.decode(payload)
    return value if into is None else _made_into(value, into)


def _made_into(value: Any, into: Any) -> Any:
    if isinstance(into, type) and isinstance(value, into):
        return value
    import msgspec  # noqa: PLC0415

    try:
        return convert(value, into)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise DecodeError("The value is not of the type that was asked for.") from error


def _decode_own(codec: Codec, payload: memoryview) -> Any:
    """What a codec of the user's own raises means that these bytes are none of its."""
    try:
        return codec.decode(payload)
    except Exception as error:
        raise DecodeError(f"{type(codec).__name__} cannot read the payload: {type(error).__name__}.") from error
