"""The command's exit statuses: 0 all is well, 1 something did not run to its end, and these."""

from __future__ import annotations

from typing import Final

CANNOT: Final = 2
"""It cannot be done as asked."""
STOPPED: Final = 130
"""It was stopped."""
