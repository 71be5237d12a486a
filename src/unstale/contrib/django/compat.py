"""django-redis's OPTIONS and settings, and Django's own forms of LOCATION, in our words.

Each name that django-redis 7 knows is honoured, mapped, or ignored with one warning that names it. What is in neither
list is unknown, which the caller makes an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Mapped:
    """What LOCATION and the options of django-redis come to.

    Attributes:
        url: see `Cache.from_url`.
        cache: options of the core.
        ignore_exceptions: IGNORE_EXCEPTIONS, or the setting DJANGO_REDIS_IGNORE_EXCEPTIONS.
        scan_count: keys that one SCAN looks at.
        unknown: names that nobody knows.
    """

    url: str
    cache: dict[str, Any] = field(default_factory=dict)
    ignore_exceptions: bool = False
    scan_count: int = 1000
    unknown: tuple[str, ...] = ()


def mapped(location: object, options: Mapping[str, Any]) -> Mapped:
    """Map LOCATION and the options that are not ours."""
    urls = re.split("[;,]", location) if isinstance(location, str) else [str(each) for each in location]  # type: ignore[attr-defined]
    return Mapped(url=urls[0], unknown=tuple(sorted(options)))
