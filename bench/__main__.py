"""`python -m bench`: every part, or those that are named. Exits with 1 if a promise (not a mere speed) is broken."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import hiredis
import redis

from bench import async_hit, django_part, early, fill_race, footprint, herd, hit, invalidate, peers, race, ramp
from bench.servers import KINDS, best_kind, cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.report import Part

PARTS: dict[str, Callable[..., Part]] = {
    "import": footprint.bench_import,
    "header": footprint.bench_header,
    "hit": hit.bench,
    "asyncio": async_hit.bench,
    "django": django_part.bench,
    "early": early.bench,
    "fill-race": fill_race.bench,
    "herd": herd.bench,
    "invalidate": invalidate.bench,
    "peers": peers.bench,
    "race": race.bench,
    "ramp": ramp.bench,
}
"""The quick ones first."""
SMALLER = ("django", "invalidate", "peers")
"""Those that `--small` makes smaller."""
SCALED = ("django",)
"""Those that `--scale` makes longer or shorter."""


def main() -> int:
    """Run, print, and say whether a promise is broken."""
    options = arguments()
    signal.signal(signal.SIGTERM, ended)
    kind = options.server or best_kind()
    print(machine(kind))
    parts = []
    for name in [name for name in PARTS if name in options.only]:
        given = {"small": options.small} if name in SMALLER else {}
        given |= {"scale": options.scale} if name in SCALED else {}
        parts.append(PARTS[name](kind, say, **given))
        print(f"\n== {name} ==\n\n{parts[-1].text()}", flush=True)
    targets = [target for part in parts for target in part.targets]
    missed = [target for target in targets if not target.met]
    print(f"\n== {len(targets) - len(missed)} of {len(targets)} targets met ==")
    for target in missed:
        print(target.text())
    if options.json:
        figures = {"machine": machine(kind), "parts": [part.data() for part in parts]}
        options.json.write_text(json.dumps(figures, indent=1))
    return 1 if any(target.fatal for target in missed) else 0


def arguments() -> argparse.Namespace:
    """The command line; nothing in it is needed."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts")
    parser.add_argument("--server", choices=KINDS, help="by default redis-server where installed, else embedded")
    parser.add_argument("--small", action="store_true", help="fewer entries under a tag: 100,000, and 1,000 of a peer")
    parser.add_argument("--scale", type=float, default=1.0, help="times the usual rounds and seconds; of django only")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the figures of every round as well")
    return parser.parse_args()


def machine(kind: str) -> str:
    """What it runs on; a load from others is noise."""
    load = ", ".join(f"{one:.2f}" for one in os.getloadavg())
    return (
        f"Python {platform.python_version()}, redis-py {redis.__version__}, hiredis {hiredis.__version__}, {kind}, "
        f"{platform.system()} {platform.machine()}, {len(cores()) or os.cpu_count()} cores, load {load}"
    )


def say(text: str) -> None:
    """Show progress."""
    print(f"... {text}", file=sys.stderr, flush=True)


def ended(_number: int, _frame: object) -> NoReturn:
    """Leave in order, so that the servers end."""
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
