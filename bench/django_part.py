"""The Django backend and the mixin beside what Django teams use today: django-redis, RedisCache, django-valkey."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from bench.django_calls import bench_calls
from bench.django_patterns import bench_patterns
from bench.django_shop import bench_shop
from bench.django_site import Config, missing
from bench.report import Part
from bench.servers import cores, pinned, running

if TYPE_CHECKING:
    from collections.abc import Callable


def bench(
    kind: str, say: Callable[[str], None], *, small: bool = False, scale: float = 1.0, config: Config | None = None
) -> Part:
    """Measure with new servers of this kind; `small`: a tenth of the keys; `scale`: times the usual rounds."""
    config = config or Config().scaled(scale)
    config = config.small() if small else config
    core = cores()[-1] if cores() else None
    with pinned(core):
        with running(kind) as server:
            if core is not None:
                server.pin(core)
            calls, call_targets = bench_calls(server, say, config)
        patterns, pattern_targets = bench_patterns(kind, say, core, config)
    shop, remarks = bench_shop(kind, say, config)
    remarks = tuple(filter(None, (versions(), missing(), REMARK, *remarks)))
    return Part("django", (*calls, *patterns, *shop), (*call_targets, *pattern_targets), remarks)


def versions() -> str:
    """What is compared."""
    packages = ("Django", "djangorestframework", "django-redis", "django-valkey", "gunicorn")
    there = {name: version(name) for name in packages if has(name)}
    return ", ".join(f"{name} {number}" for name, number in there.items()) + "."


def has(package: str) -> bool:
    """Whether a package is installed."""
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


REMARK: Final = """\
Each backend is as it comes; all read 1 KiB of pickled text by way of `django.core.cache.cache`. unstale's is signed,
and its read asks for the entry, the stamps of two tags and the stamp of everything: one MGET of 4. aget of RedisCache
and of django-redis is Django's: a thread's hop for each call; django-valkey's is its asynchronous backend's."""
