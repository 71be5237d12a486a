"""The command's exit statuses: 0 all is well, 1 something did not run to its end, and these."""

from __future__ import annotations

from typing import Final

CANNOT: Final = 2
"""It cannot be done as asked."""
STOPPED: Final = 130
"""It was stopped."""
UNHEARD: Final = 141
"""Nobody reads its output any more, as with `| head -1`: what shells say of a program that SIGPIPE has ended."""
