"""A process that may not write in a directory (as root it becomes nobody first) opens an embedded server there.

Argument: the directory. It tells the error.
"""

from __future__ import annotations

import json
import os
import sys

from unstale import Cache, UnstaleError
from unstale.stores import embedded, redis  # noqa: F401 - imported while this process may still read everything

NOBODY = 65534

Cache.from_url("memory://").close()
binary = embedded.server_binary()
embedded.server_binary = lambda: binary  # nobody may not even see where it is
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
try:
    Cache.from_url(f"embedded://{sys.argv[1]}")
except UnstaleError as error:
    told = [type(error).__name__, str(error)]
else:
    told = ["no error", ""]
sys.stdout.write(json.dumps(told) + "\n")
