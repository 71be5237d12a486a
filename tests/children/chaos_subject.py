"""Reads the keys of a row twice by a subject, writes the row, fails to write it once more, reads again, and tells.

Arguments: the subject, its place (JSON), the row, its keys (JSON). It prints a JSON object.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec

from unstale.tools.chaos.record import Effect
from unstale.tools.chaos.rows import RolledBackError, Rows
from unstale.tools.chaos.subject import Place, Value, maker

NAME, PLACE = sys.argv[1], msgspec.json.decode(sys.argv[2], type=Place)
ROW, KEYS = int(sys.argv[3]), json.loads(sys.argv[4])

rows = Rows(PLACE.database)
subject: Any = maker(NAME)(PLACE)
loads: list[int] = []
moments: list[str] = []


def read() -> list[Value]:
    """Read each key."""

    def load_of(key: int) -> Any:
        def load() -> Value:
            loads.append(key)
            return Value(key, ROW, rows.load(ROW))

        return load

    return [subject.read(key, ROW, load_of(key)) for key in KEYS]


def write(*, is_rolled_back: bool = False) -> Any:
    """Write the row."""

    def commit(cursor: Any = None) -> int:
        if cursor is None:
            return rows.write(ROW, is_rolled_back=is_rolled_back)
        version = rows.write_by(cursor, ROW, is_rolled_back=is_rolled_back)
        if is_rolled_back:
            raise RolledBackError(version)
        return version

    return subject.write(ROW, commit, moments.append)


told: dict[str, Any] = {"first": read(), "again": read(), "loads": len(loads)}
effect, told["version"] = write()
told["effect"], told["moments"] = Effect(effect).name, list(moments)
try:
    write(is_rolled_back=True)
except RolledBackError:
    told["rolled_back"] = True
loads.clear()
told["after"], told["loads_after"], told["moments_after"] = read(), len(loads), list(moments)
subject.settle()
subject.close()
rows.close()
print(json.dumps(told))  # noqa: T201 - what the test reads
