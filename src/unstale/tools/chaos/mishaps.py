"""What has raised in a worker, by kind, in a file for people: the counts that matter are the judge's."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

MOST: Final = 50
"""So many different sentences are kept of a process; more count as one."""
LONGEST: Final = 200
_MORE: Final = "(others)"


class Mishaps:
    """The exceptions of one process, counted by their sentences. The file is as it was when the last new one came."""

    def __init__(self, path: Path) -> None:
        """Take the file; it is made when there is something to say."""
        self._path = path
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def tell(self, where: str, error: BaseException) -> None:
        """Count one."""
        text = (str(error).splitlines() or [""])[0][:LONGEST]
        sentence = f"{where}: {type(error).__name__}: {text}"
        with self._lock:
            known = sentence if sentence in self._counts or len(self._counts) < MOST else _MORE
            self._counts[known] += 1
            if self._counts[known] == 1:
                self._write()

    def close(self) -> None:
        """Write the counts as they are at the end."""
        with self._lock:
            if self._counts:
                self._write()

    def _write(self) -> None:
        self._path.write_bytes(msgspec.json.encode(self._counts))


def mishaps_in(folder: Path) -> Counter[str]:
    """Those of all processes of a phase."""
    found: Counter[str] = Counter()
    for path in folder.glob("*.errors"):
        found.update(msgspec.json.decode(path.read_bytes(), type=dict[str, int]))
    return found
