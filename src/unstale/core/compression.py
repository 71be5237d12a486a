"""Compression of payloads: zlib from the standard library; lz4 and zstd where they are installed.

A compressed body begins with the size of what it holds, four bytes, so that nothing larger than announced is ever
made of it.
"""

from __future__ import annotations

import importlib
import importlib.util
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from unstale.errors import ConfigurationError, DecodeError

NONE: Final = 0
ZLIB: Final = 1
LZ4: Final = 2
ZSTD: Final = 3

MAX_SIZE: Final = 512 * 1024 * 1024
"""Redis's own limit of a string."""
_SIZE_BYTES: Final = 4


@dataclass(frozen=True, slots=True)
class Compressor:
    """One way to compress.

    Attributes:
        number: what stands in an entry's header for it.
        compress: bytes to fewer bytes, if it goes well.
        decompress: back, given the size that must come of it; raises what its library raises.
    """

    number: int
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]

    def shrink(self, data: bytes) -> bytes | None:
        """A compressed body; None where that would save nothing."""
        if len(data) > MAX_SIZE:
            return None
        body = len(data).to_bytes(_SIZE_BYTES) + self.compress(data)
        return body if len(body) < len(data) else None


def _zlib() -> Compressor:
    def decompress(data: bytes, size: int) -> bytes:
        return zlib.decompressobj().decompress(data, size + 1)

    return Compressor(ZLIB, lambda data: zlib.compress(data, 1), decompress)


def _lz4() -> Compressor:
    block: Any = importlib.import_module("lz4.block")

    def decompress(data: bytes, size: int) -> bytes:
        found: bytes = block.decompress(data, uncompressed_size=size)
        return found

    return Compressor(LZ4, lambda data: block.compress(data, store_size=False), decompress)


def _zstd() -> Compressor:
    library: Any = importlib.import_module("zstandard")  # its objects are not safe between threads: made for each call

    def decompress(data: bytes, size: int) -> bytes:
        if library.frame_content_size(data) != size:  # what it would allocate
            raise DecodeError
        found: bytes = library.ZstdDecompressor().decompress(data)
        return found

    def compress(data: bytes) -> bytes:
        found: bytes = library.ZstdCompressor(level=3).compress(data)
        return found

    return Compressor(ZSTD, compress, decompress)


_KINDS: Final[dict[int, tuple[str, str, Callable[[], Compressor]]]] = {
    LZ4: ("lz4", "lz4", _lz4),
    ZSTD: ("zstd", "zstandard", _zstd),
    ZLIB: ("zlib", "zlib", _zlib),
}
"""By number: the name, the module, the maker. The order is the order of choice for "auto"."""
_made: Final[dict[int, Compressor]] = {}


def _compressor(number: int) -> Compressor | None:
    """The compressor with this number; None where its library is missing."""
    if number not in _made and number in _KINDS:
        _, module, make = _KINDS[number]
        if importlib.util.find_spec(module) is not None:
            _made[number] = make()
    return _made.get(number)


def compressor_named(name: str) -> Compressor:
    """The compressor of this name: "lz4", "zstd", "zlib", or "auto" for the first of these that is installed.

    Raises:
        ConfigurationError: no compressor has this name, or its library is not installed.
    """
    numbers = [number for number, (known, _, _) in _KINDS.items() if name in (known, "auto")]
    if not numbers:
        raise ConfigurationError(f"There is no compression {name!r}. Choose one of: auto, lz4, zlib, zstd.")
    found = next((one for one in map(_compressor, numbers) if one is not None), None)
    if found is None:
        raise ConfigurationError(f"Compression {name!r} is not installed: pip install 'unstale[{name}]'.")
    return found


def decompress(number: int, body: bytes) -> bytes:
    """What was compressed.

    Raises:
        DecodeError: no such compression is installed here, or the bytes are damaged.
    """
    compressor = _compressor(number)
    if compressor is None:
        name = _KINDS[number][0] if number in _KINDS else str(number)
        raise DecodeError(f"The payload's compression ({name}) is not installed here.")
    size = int.from_bytes(body[:_SIZE_BYTES])
    if len(body) < _SIZE_BYTES or size > MAX_SIZE:
        raise DecodeError("The compressed payload is damaged.")
    try:
        data = compressor.decompress(body[_SIZE_BYTES:], size)
    except Exception as error:  # each library has its own; zstd's and lz4's are no common class
        raise DecodeError("The compressed payload is damaged.") from error
    if len(data) != size:
        raise DecodeError("The compressed payload is damaged.")
    return data
