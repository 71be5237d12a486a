"""From the key that a project gives to what the core is asked: made, checked, with its tags and its role. No I/O.

A key that was seen before costs one look into a dict. Keys are made by KEY_FUNCTION from prefix, version and key; tags
come from TAG_PATTERNS, which see the project's own key. A tag's whole name holds prefix and version, so that neither
two prefixes nor two versions share one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from hashlib import md5
from typing import Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT, BaseCache

from unstale.contrib.django.backend.engine import MAX_PLANS, Engine, Plan, Plans, Role, engine_of
from unstale.contrib.django.backend.made_keys import SHORT, as_key, in_tags
from unstale.contrib.django.patterns import TooManyBindings, is_page, parse_pattern, remedy
from unstale.core.policy import MAX_SECONDS, MIN_SECONDS
from unstale.errors import InvalidTagError

_HEADERS_KEY: Final = re.compile(
    r"views\.decorators\.cache\.cache_header\.(?P<prefix>.*?)\.(?P<url>[0-9a-f]{32})(?P<rest>(?:\..*)?)", re.DOTALL
)
_PAGE_KEY: Final = re.compile(
    r"views\.decorators\.cache\.cache_page\.(?P<prefix>.*?)\.[A-Z]+"
    r"\.(?P<url>[0-9a-f]{32})\.[0-9a-f]{32}(?P<rest>(?:\..*)?)",
    re.DOTALL,
)
"""The keys of `django.utils.cache`: of the headers that a page varies on, and of the page."""
_WARNS: Final = re.compile(r"[\x00-\x20\x7f]")
"""Characters of which Django warns."""
_KEPT: Final = (str, int)
"""Types of keys whose plans are kept: others may equal a key that is written otherwise, as 1.0 and True do."""
_KEPT_VERSIONS: Final = (type(None), int, str)
"""The same of versions."""
_NO_HEADERS: Final = md5(usedforsecurity=False).hexdigest()
"""What Django makes of the headers of a page that does not vary."""
_SESSION: Final = re.compile(r"django\.contrib\.sessions\.cache(?!d_db)")


class KeyedCache(BaseCache):
    """A backend that knows its keys, and asks nothing."""

    def __init__(self, location: object, params: Mapping[str, Any]) -> None:
        """Take the engine of this configuration."""
        self._engine: Engine = engine_of(location, params)
        self._plans: Plans = {}
        self._is_shared = False
        super().__init__(params)

    @property
    def key_func(self) -> Callable[..., str]:
        """Makes a key from the project's key, prefix and version."""
        return self._key_func

    @key_func.setter
    def key_func(self, made_by: Callable[..., str]) -> None:
        self._key_func = made_by
        self._plans, self._is_shared = {}, False

    @property
    def key_prefix(self) -> str:
        """KEY_PREFIX."""
        return self._key_prefix

    @key_prefix.setter
    def key_prefix(self, prefix: str) -> None:
        self._key_prefix = prefix
        self._tag_prefix = in_tags(prefix)
        self._plans, self._is_shared = {}, False

    @property
    def version(self) -> int:
        """VERSION."""
        return self._version

    @version.setter
    def version(self, version: int) -> None:
        self._version = version
        self._plans, self._is_shared = {}, False

    def tag(self, name: str, version: int | None = None) -> str:
        """The whole name of a tag: with prefix and version, as the core and its events have it."""
        if not name:
            raise InvalidTagError("A tag must have a name.")
        return f"{self._tag_prefix}:{self._version if version is None else version}:{name}"

    def _plan_of(self, key: Any, version: int | None) -> Plan:
        """What a key comes to, kept from the last time or made."""
        try:
            plan = self._plans.get((key, version))
        except TypeError:  # it has no hash: Django's own backends take whatever can be formatted
            plan = None
        return plan or self._plan(key, version)

    def _plan(self, key: Any, version: int | None) -> Plan:
        """What a key comes to. Warns of keys that memcached would refuse, each time, as Django's own backends do."""
        if not self._is_shared:
            self._plans = self._engine.plans(self._key_func, self._key_prefix, self._version)
            self._is_shared = True
        given = (int, key, version) if type(key) is int else (key, version)
        is_kept = type(key) in _KEPT and type(version) in _KEPT_VERSIONS
        plan = self._plans.get(given) if is_kept else None  # where the plans were only now shared, or of an int
        if plan is not None:
            return plan
        made = self.make_key(key, version)
        self.validate_key(made)
        plan = self._planned(str(key), made, version)
        if is_kept and len(made) <= SHORT and not _WARNS.search(made):
            if len(self._plans) >= MAX_PLANS:
                self._plans.clear()
            self._plans[given] = plan
        return plan

    def _planned(self, key: str, made: str, version: int | None) -> Plan:
        travels, tags = as_key(made), self._tags_of(key, version)
        if tags is not None:
            tags = self._engine.cache.planned(travels, tags)
        if page := _HEADERS_KEY.fullmatch(key):
            stand_in = _stand_in(page)
            under = as_key(self.make_key(stand_in, version))
            return Plan(travels, tags, Role(page_key=under, page_tags=self._tags_of(stand_in, version)))
        if page := _PAGE_KEY.fullmatch(key):
            return Plan(travels, tags, Role(looked_under=as_key(self.make_key(_stand_in(page), version))))
        return Plan(travels, tags, Role(computed=_SESSION.match(key) is None))

    def _tags_of(self, key: str, version: int | None) -> tuple[str, ...] | None:
        try:
            names = self._engine.matcher.tags_of(key)
        except TooManyBindings as error:
            kind = "pages" if is_page(key) else "others"
            if self._engine.is_news(f"{kind}: {error.problem}"):
                self._engine.warn(f"{error.problem} {remedy(parse_pattern(error.pattern), key)}")
            return None
        return tuple(self.tag(name, version) for name in names)

    def _tags(self, plan: Plan, tags: Iterable[str], version: int | None) -> tuple[str, ...] | None:
        """A key's tags with those that the caller names.

        On a cluster the first tag says where an entry lies. That must follow from the key alone, since most of Django's
        verbs name no tags: a key without any of its own gets the place of one without tags.
        """
        if isinstance(tags, str):
            raise InvalidTagError(f"tags must be a list or tuple of tags, not a str: write tags=[{tags[:60]!r}].")
        if not tags or plan.tags is None:
            return plan.tags
        own = plan.tags or self._engine.place_of(plan.key)
        return (*own, *(self.tag(name, version) for name in tags))

    def _ttl(self, timeout: Any) -> float | None:
        """Seconds that an entry stays fresh; None for no limit; 0 where it is to be gone."""
        if timeout is DEFAULT_TIMEOUT:
            timeout = self.default_timeout
        if timeout is None:
            return None
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else float(timeout)
        return 0.0 if seconds <= 0 else min(max(seconds, MIN_SECONDS), MAX_SECONDS)


def _stand_in(page: re.Match[str]) -> str:
    """The key that a page of this URL has if it does not vary: of one that does, it shares all other parts."""
    return f"views.decorators.cache.cache_page.{page['prefix']}.GET.{page['url']}.{_NO_HEADERS}{page['rest']}"
