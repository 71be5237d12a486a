"""Where a run took place: versions, and of the machine what a reader needs to compare. No names, no addresses."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
from typing import Final

import psutil

import unstale

LIBRARIES: Final = (
    "celery", "django", "django-redis", "djangorestframework", "gunicorn", "hiredis", "locust", "redis",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Of Python and of the libraries that take part."""
    found = {"python": platform.python_version(), "unstale": unstale.__version__}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def machine() -> dict[str, str]:
    """Its kind, cores and memory."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(psutil.cpu_count()),
        "memory (GiB)": f"{psutil.virtual_memory().total / 2**30:.0f}",
    }
