"""From a value to an entry's payload and back, as one cache does it: encode, compress, sign; verify, and undo.

Nothing is decoded whose signature should be there and is not: a cache with keys opens only what was signed with one of
them (but counters, which the server changes in place), and a cache without keys opens nothing that is signed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from unstale.core import codecs
from unstale.core.codecs import COUNTER, JSON, MSGPACK, PICKLE, RAW, Codec
from unstale.core.layout import CODEC_AT, COMPRESSION_AT, FLAGS_AT, SIGNED
from unstale.errors import ConfigurationError, DecodeError

if TYPE_CHECKING:  # rarely wanted, and slow to import
    from unstale.core.compression import Compressor
    from unstale.core.signing import Signer

OF_BYTES: Final = (MSGPACK, JSON, PICKLE)
"""Codecs of ours that decode bytes as well as a memoryview of them, and sooner."""
LARGE: Final = 1024
"""Bytes from which on a payload is compressed, where compression is on."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A value's bytes before they are signed.

    Attributes:
        codec: the number of its codec.
        compression: the number of its compression; 0 for none.
        body: the bytes.
    """

    codec: int
    compression: int
    body: bytes = field(repr=False)


class Payloads:
    """How one cache's values become payloads.

    Attributes:
        codec: for values that are neither bytes nor counters.
        signer: signs and verifies; None for a cache without keys.
        trusting: whether payloads need no signature.
    """

    __slots__ = ("_compress_above", "_compressor", "_of_bytes", "codec", "signer", "trusting")

    def __init__(
        self,
        codec: Codec,
        *,
        signer: Signer | None = None,
        compressor: Compressor | None = None,
        compress_above: int = LARGE,
    ) -> None:
        """Put the parts together.

        Raises:
            ConfigurationError: pickle without a key, or numbers that make no sense.
        """
        if codec.number == PICKLE and signer is None:
            raise ConfigurationError(
                'codec="pickle" needs signing_keys: without them whoever can write to Redis could run code here.'
            )
        if type(compress_above) is not int or compress_above < 0:
            raise ConfigurationError("compress_above must be a number of bytes.")
        self.codec = codec
        self.signer = signer
        self.trusting = signer is None
        self._of_bytes = codec.number if codec.number in OF_BYTES else None
        self._compressor = compressor
        self._compress_above = compress_above

    def encode(self, value: Any) -> Encoded:
        """Encode a value, and compress it where that is on and saves something.

        Raises:
            EncodeError: the codec cannot carry the value.
        """
        number, body = codecs.encode(value, self.codec)
        if self._compressor is not None and len(body) >= self._compress_above:
            smaller = self._compressor.shrink(body)
            if smaller is not None:
                return Encoded(number, self._compressor.number, smaller)
        return Encoded(number, 0, body)

    def signer_for(self, codec: int) -> Signer | None:
        """What signs a payload of this codec: nothing signs a counter, which the server changes in place."""
        return self.signer if codec != COUNTER else None

    def value(self, data: bytes, payload: bytes, into: Any = None) -> Any:
        """The value of a payload.

        Args:
            data: the entry's bytes.
            payload: the part of them that is the payload, undamaged.
            into: the type that the value is to have; None for whatever the codec gives.

        Raises:
            DecodeError: not signed with a key of ours, or not to be read.
        """
        codec, compression = data[CODEC_AT], data[COMPRESSION_AT]
        if data[FLAGS_AT] & SIGNED:
            if self.signer is None:
                raise DecodeError("The entry is signed, and this cache has no key (signing_keys).")
            payload = self.signer.opened_at(data, len(data) - len(payload))
        elif codec == PICKLE or not (self.trusting or codec == COUNTER):
            raise DecodeError("The entry is not signed.")
        if compression and codec == COUNTER:
            raise DecodeError("A counter is never compressed.")
        if compression:
            from unstale.core.compression import decompress  # noqa: PLC0415

            payload = decompress(compression, payload)
        if into is None:
            if codec == RAW:
                return payload
            if codec == self._of_bytes:
                return self.codec.decode(payload)  # type: ignore[arg-type]
        return codecs.decode(codec, memoryview(payload), self.codec, into)
