"""What unstale weighs: the time of its import, and the bytes that an entry has beside its value."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from bench.report import Part, Spread, Table, Target
from bench.servers import running
from unstale import Cache
from unstale.core.keys import Names, ancestry

if TYPE_CHECKING:
    from collections.abc import Callable

IMPORTS = 15
"""Fresh processes for each figure."""
PAYLOAD = b"x" * 1024
KEY = "orders:42"

TIMED = """
from time import perf_counter, process_time
began, cpu_began = perf_counter(), process_time()
{statement}
print((perf_counter() - began) * 1000, (process_time() - cpu_began) * 1000)
"""


def bench_import(_kind: str, say: Callable[[str], None]) -> Part:
    """Time imports in fresh processes, in turns. The interpreter's own start is not in it."""
    statements = {
        "import unstale": "import unstale",
        "and Cache.from_url('redis://…')": "import unstale; unstale.Cache.from_url('redis://localhost')",
        "import redis": "import redis",
    }
    say("import: fresh processes")
    samples: dict[str, list[tuple[float, float]]] = {what: [] for what in statements}
    for _ in range(IMPORTS):
        for what, statement in statements.items():
            samples[what].append(_milliseconds(statement))
    wall = {what: Spread(tuple(taken for taken, _ in pairs), 1) for what, pairs in samples.items()}
    cpu = {what: Spread(tuple(used for _, used in pairs), 1) for what, pairs in samples.items()}
    title = (
        f"Imports in fresh processes, median of {IMPORTS}; where the time is well above the CPU, others were at work"
    )
    rows = tuple((what, wall[what], cpu[what]) for what in statements)
    target = Target(
        "import unstale, milliseconds of CPU (its time, when nobody else is at work)", cpu["import unstale"].middle, 60
    )
    return Part("import", (Table(title, ("what", "time, ms", "CPU, ms"), rows),), (target,))


def _milliseconds(statement: str) -> tuple[float, float]:
    """Wall time and CPU time."""
    command = [sys.executable, "-c", TIMED.format(statement=statement)]
    wall, cpu = subprocess.run(command, capture_output=True, check=True).stdout.split()
    return float(wall), float(cpu)


def bench_header(kind: str, say: Callable[[str], None]) -> Part:
    """Measure entries at the server: their size without the value and the names that they hold."""
    say("header: sizes")
    with running(kind) as server, Cache.from_url(server.url(), namespace="bench", timeout=10) as cache:
        rows, targets = [], []
        for tags in ([], ["user:42"], ["user:42/orders"], [f"product:{number}" for number in range(10)]):
            cache.set(KEY, PAYLOAD, tags=tags)
            carried = {ancestor for tag in tags for ancestor in ancestry(tag)}
            size = server.client.strlen(Names("bench").entry(KEY.encode()))
            names = sum(len(name.encode()) + 1 for name in (KEY, *carried))
            header, stamps = size - len(PAYLOAD) - names, len(carried) + 1
            rows.append((", ".join(tags[:2]) + (", …" if tags[2:] else "") or "no tags", stamps, size, names, header))
            targets.append(Target(f"header with {stamps} stamps, bytes", header, 48 + 16 * stamps))
    columns = ("tags", "stamps, root included", "entry, bytes", "names, each with its end", "header")
    return Part("header", (Table(f"An entry of {len(PAYLOAD)} bytes", columns, tuple(rows)),), tuple(targets))
