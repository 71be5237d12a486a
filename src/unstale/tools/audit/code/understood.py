"""Everything that is known of a project, put together once for all rules."""

from __future__ import annotations

from collections.abc import Iterable

from unstale.tools.audit.code.cache_calls import CacheCalls
from unstale.tools.audit.code.callers import Callers
from unstale.tools.audit.code.declarations import Caches
from unstale.tools.audit.code.derivation import Derivation
from unstale.tools.audit.code.inferring import Inference
from unstale.tools.audit.code.keys import Keys
from unstale.tools.audit.code.origins import Origins
from unstale.tools.audit.code.project import Project
from unstale.tools.audit.code.scopes import Module
from unstale.tools.audit.code.texts import Texts
from unstale.tools.audit.code.walks import Walks
from unstale.tools.audit.code.wrappers import Wrappers


class Code:
    """A project, understood.

    Attributes:
        project: its modules.
        inference: what an expression may be.
        calls: its calls of caches.
        keys: their keys as text.
        derivation: what a value is made of.
        texts: what hands on text as it came.
        wrappers: its own helpers.
        callers: who calls a function.
        walks: what becomes of keys that were walked.
        origins: requests, users and clocks.
        caches: what its settings say of them.
    """

    def __init__(self, modules: Iterable[Module], own_names: Iterable[str] = ()) -> None:
        """Understand a project.

        Args:
            modules: all of it.
            own_names: names of receivers that are caches, from its configuration.
        """
        self.project = Project(modules)
        self.inference = Inference(self.project)
        self.calls = CacheCalls(self.inference, frozenset(own_names))
        self.keys = Keys(self.inference)
        self.derivation = Derivation(self.inference)
        self.texts = Texts(self.derivation, self.keys)
        self.wrappers = Wrappers(self.inference, self.calls, self.keys)
        self.callers = Callers(self.inference)
        self.walks = Walks(self.calls, self.derivation, self.callers)
        self.origins = Origins(self.derivation, self.texts)
        self.caches = Caches(self.project.modules)
