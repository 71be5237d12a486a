"""`unstale audit`: where Python code caches in ways that hurt or lie. Code is read, never imported and never run.

    sources    which files, and their syntax             code       what the code says, understood
    rules      one module a rule                         auditing   all of it put together
    settings, suppressions, baseline                     what a project says of its audit
    tag_patterns, fixes                                  what to write in its place
    text, sarif                                          outputs; only the command prints them

A rule never guesses a word's meaning where the code says it: a receiver is a cache by where it comes from.
"""

from __future__ import annotations

from unstale.tools.audit.auditing import audit
from unstale.tools.audit.errors import AuditError
from unstale.tools.audit.results import Caller, Finding, Level, Problem, Report
from unstale.tools.audit.settings import Settings, settings_of

__all__ = ["AuditError", "Caller", "Finding", "Level", "Problem", "Report", "Settings", "audit", "settings_of"]
