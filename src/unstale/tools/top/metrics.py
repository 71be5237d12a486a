"""What a server cannot know: reads that found something stale, and fills that were refused.

The application counts them, and its page for Prometheus (`unstale.contrib.prometheus`) has both. No more of the text
format is read here than it takes to add up two counters.
"""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from enum import Enum
from typing import Final, NamedTuple

from unstale.errors import ConfigurationError

ANSWER_SECONDS: Final = 2.0
MOST_BYTES: Final = 4_000_000
_COUNTER: Final = re.compile(r"^unstale_(stale|refused)_total(?:\{[^\n]*\})? ([0-9.eE+]+)(?: [0-9]+)?$", re.MULTILINE)


class Counted(NamedTuple):
    """What an application has counted since it began."""

    stale: float
    """Reads that found a stale entry."""
    refused: float
    """Values that were computed and not stored, since something had changed meanwhile."""


class Untold(Enum):
    """Why there are no counters."""

    YET = "does not tell yet"
    NOTHING = "does not tell"
    UNREACHABLE = "cannot be reached"


def check_url(url: str) -> None:
    """See that it is a page.

    Raises:
        ConfigurationError: it is not.
    """
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError("--metrics takes the URL of a page for Prometheus: http://127.0.0.1:8000/metrics.")


def counted(url: str) -> Counted | Untold:
    """Read the page."""
    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS) as answer:  # noqa: S310 - see check_url
            text = answer.read(MOST_BYTES).decode("utf-8", "replace")
    except (urllib.error.HTTPError, http.client.HTTPException, ValueError):  # an error's page, or no page at all
        return Untold.NOTHING
    except OSError:
        return Untold.UNREACHABLE
    return added_up(text) or Untold.NOTHING


def added_up(text: str) -> Counted | None:
    """The counters in a page's text, over all their labels; None where there are none."""
    found = _COUNTER.findall(text)
    if not found:
        return None
    sums = {name: sum(float(value) for which, value in found if which == name) for name in ("stale", "refused")}
    return Counted(**sums)
