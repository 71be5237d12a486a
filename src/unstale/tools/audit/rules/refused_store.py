"""What unstale's backend for Django refuses by itself: to store what was overtaken by an invalidation since its read.

It looks at tags. So the key has to carry one, by a declared pattern or by `tags=` of both calls; the read has to be a
`get`, since `has_key` looks at nothing; and nobody may delete the key by its name, which no tag tells of.
"""

from __future__ import annotations

import ast
from functools import cached_property

from unstale.tools.audit.code.cache_calls import CacheCall
from unstale.tools.audit.code.declarations import SAMPLE
from unstale.tools.audit.code.keys import Form
from unstale.tools.audit.code.kinds import Family
from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.verbs import REMOVES
from unstale.tools.audit.code.wrappers import Deed


class Deletes:
    """The keys that a project deletes by their names; looked for when they are first asked for."""

    def __init__(self, code: Code) -> None:
        """Take the project."""
        self._code = code

    @cached_property
    def _shapes(self) -> frozenset[str]:
        found: set[str] = set()
        for scope in self._code.project.scopes:
            for deed in self._code.wrappers.deeds(scope):
                if deed.verb in REMOVES and deed.inner.family is Family.DJANGO:
                    many = deed.key_given.elts if isinstance(deed.key_given, (ast.List, ast.Tuple)) else []
                    found |= {_filled(self._code.keys.form(each, deed.scope), "{}") for each in many}
                    found.add(_filled(deed.key, "{}"))
        return frozenset(found)

    def have(self, key: Form) -> bool:
        """Whether a key of this shape is deleted."""
        return _filled(key, "{}") in self._shapes


def is_refused(read: CacheCall | None, store: Deed, code: Code, deletes: Deletes) -> bool:
    """Whether a store that follows a miss is refused by itself if it was overtaken.

    Args:
        read: what missed.
        store: what is stored.
        code: the project.
        deletes: its deletes by key.
    """
    put = store.inner
    if read is None or read.method not in {"get", "aget"} or put.method not in {"set", "aset"}:
        return False
    if any(each.family is not Family.DJANGO or each.by_name for each in (read, put)) or read.aliases != put.aliases:
        return False
    if any(_word(read, name) != _word(put, name) for name in ("tags", "version")):
        return False
    is_tagged = _word(put, "tags") or code.caches.give_tag(put.aliases, _filled(store.key, SAMPLE))
    return bool(is_tagged) and code.caches.on_unstale(put.aliases) and not deletes.have(store.key)


def _filled(key: Form, value: str) -> str:
    return "".join(part if isinstance(part, str) else value for part in key)


def _word(call: CacheCall, name: str) -> str:
    """An argument as it is written."""
    return next((ast.unparse(each.value) for each in call.call.keywords if each.arg == name), "")
