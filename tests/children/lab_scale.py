"""A process that runs `unstale lab scale` for a long time: it prints a line once something was measured, then the end.

The lines are the process ids of all that it has started by then, and the results, both as JSON.
"""

from __future__ import annotations

import json
import sys

import msgspec
import psutil

from unstale.tools.lab.scale import run_scale
from unstale.tools.lab.scale_job import Doing
from unstale.tools.lab.scale_plan import ScalePlan

told = []


def progress(doing: Doing) -> None:
    """Tell once."""
    if "round 2" in doing.what and not told:
        told.append(doing)
        sys.stdout.write(json.dumps([child.pid for child in psutil.Process().children(recursive=True)]) + "\n")
        sys.stdout.flush()


results = run_scale(ScalePlan(sizes=(500, 1000), per_user=(5,), rounds=100_000, seconds=600), progress)
sys.stdout.write(msgspec.json.encode(results).decode() + "\n")
