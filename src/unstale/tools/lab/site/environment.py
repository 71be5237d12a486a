"""What a process of the site is told: one value, handed over in one variable of the environment.

Nothing here needs Django: whoever starts the processes writes it, the settings read it.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from unstale.tools.lab.place import Place
from unstale.tools.lab.plan import Caching, Plan, Variant

VARIABLE: Final = "LAB_SITE"


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One variant, as the application sees it."""

    caching: Caching
    hiredis: bool
    """Whether django-redis parses answers with hiredis, or in Python."""
    itersize: int
    """Of django-redis: how many keys a SCAN looks at."""
    cache_url: str
    config_url: str
    broker_url: str | None
    prefix: str
    """What all keys begin with."""
    load_seconds: float
    """How long a history takes to compute after its rows were read."""
    ttl: int
    """Of what is cached, in seconds."""
    users: int
    """How many there are to be."""
    orders: int
    """How many each of them has at first."""


def variables(variant: Variant, plan: Plan, place: Place, page_size: int) -> dict[str, str]:
    """The variables by which a process of the site is told all it needs; `told` and the shop's settings read them."""
    everything = Told(
        caching=variant.caching,
        hiredis=variant.hiredis,
        itersize=variant.itersize,
        cache_url=place.cache_url,
        config_url=place.config_url,
        broker_url=place.broker_url,
        prefix=place.prefix,
        load_seconds=plan.load_seconds,
        ttl=plan.ttl,
        users=plan.users,
        orders=plan.pages * page_size,
    )
    return {
        VARIABLE: msgspec.json.encode(everything).decode(),
        "SHOP_HOME": str(place.directory),
        "SHOP_DATABASE": place.database_url,
        "DJANGO_SETTINGS_MODULE": "unstale.tools.lab.site.settings",
    }


def told() -> Told:
    """What this process was told.

    Raises:
        KeyError: nothing; `workers` starts the site's processes.
    """
    return msgspec.json.decode(os.environ[VARIABLE], type=Told)
