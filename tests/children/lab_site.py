"""Serves a site of the lab until it is ended. Arguments: a variant, a folder, the cache's and the broker's URL.

It says the numbers of all its processes, then waits.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "lab"))

from site_client import PLAN, place

from unstale.tools.lab.plan import VARIANTS
from unstale.tools.lab.workers import serving

name, folder, cache_url, broker_url = sys.argv[1:]
with serving(VARIANTS[name], PLAN, place(Path(folder), cache_url, broker_url=broker_url)) as site:
    print(json.dumps(site.pids), flush=True)  # noqa: T201 - what the test reads
    sys.stdin.read()
