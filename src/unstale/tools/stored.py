"""Results in files: JSON that is written whole or not at all, and read with a sentence for whatever is wrong with it.

What is stored the tools themselves say.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from unstale.errors import ConfigurationError

T = TypeVar("T", bound=msgspec.Struct)


def write(stored: msgspec.Struct, path: Path, *, each: str) -> None:
    """Write it whole or not at all.

    Args:
        stored: what.
        path: where.
        each: the first field of what gets a line of its own, so that two files can be compared by eye.

    Raises:
        OSError: it cannot be written.
    """
    text = json.dumps(msgspec.to_builtins(stored), separators=(",", ":"), allow_nan=False)
    text = text.replace(f'{{"{each}":', f'\n{{"{each}":')
    beside = path.with_suffix(f".{os.getpid()}.tmp")
    beside.write_text(text + "\n", encoding="utf-8")
    beside.replace(path)


def read(path: Path, kind: type[T], *, called: str, current: int) -> T:
    """What was written before.

    Args:
        path: where.
        kind: of what is stored, with a field `format`.
        called: what a person calls it.
        current: the format that this release reads.

    Raises:
        ConfigurationError: there is none, or it cannot be read.
    """
    try:
        found: Any = msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is no result of {called}: {error}") from error
    if found.format != current:
        raise ConfigurationError(f"{path} has format {found.format}; this release reads format {current}.")
    stored: T = found
    return stored
