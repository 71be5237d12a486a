"""Which alias of CACHES needs which TAG_PATTERNS: each its own, and none where it cannot be told which one it is."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, MutableMapping
from pathlib import Path
from typing import Final

from unstale.tools.audit.code.declarations import NOT_SHARED, UNKNOWN, Declared, caches_of, nameless
from unstale.tools.audit.code.indexing import indexed
from unstale.tools.audit.fixes.backends import with_unstale
from unstale.tools.audit.fixes.edits import Edit
from unstale.tools.audit.results import Finding
from unstale.tools.audit.settings import Settings
from unstale.tools.audit.sources import read

_APP: Final = re.compile(rb"""["']unstale\.contrib\.django(?:\.apps\.\w+)?["']""")


def declare(
    every: Mapping[str, Path], edits: MutableMapping[str, Edit], findings: Iterable[Finding], settings: Settings
) -> None:
    """Rewrite the settings so that pattern deletes are declared; say which are left.

    Args:
        every: the files that are audited.
        edits: those that are rewritten so far; the settings are added.
        findings: pattern deletes, each with its patterns.
        settings: of the audit.
    """
    findings = list(findings)
    said = list(_caches(every, settings)) if findings else []
    needed = _by_alias(findings, said, edits)
    told: set[str] = set()
    changed = ""
    for path in dict.fromkeys(each.module.path for each in said if each.alias in needed):
        edit = edits.setdefault(path, Edit(every[path].read_bytes()))
        made = with_unstale(edit.new, {alias: _patterns(each) for alias, each in needed.items()})
        own = {each.alias for each in said if each.module.path == path and each.backend not in NOT_SHARED} & set(needed)
        reasons = dict.fromkeys(own - set(made.told), "it is not written out as {…}.") | made.left
        changed = path if made.new != edit.new else changed
        edit.new = made.new
        edit.done += [f"{path}: {each}" for each in made.done]
        edit.left += [f'{path}: CACHES["{alias}"] is left: {why}' for alias, why in sorted(reasons.items())]
        told |= set(made.told)
    for alias, those in needed.items():
        if alias not in told:
            for each in those:
                edits[each.path].leave(each, f'CACHES["{alias}"] does not declare its pattern, and is not rewritten.')
    if changed:
        _tell_of_app(every, edits, changed)


def _caches(every: Mapping[str, Path], settings: Settings) -> Iterable[Declared]:
    for path, file in every.items():
        if b"CACHES" in _bytes(file):
            source, _ = read(file, path, settings)
            if source is not None and not source.cells:
                yield from caches_of([indexed(path, source.module_name, source.tree, is_package=source.is_package)])


def _by_alias(
    findings: Iterable[Finding], said: Iterable[Declared], edits: Mapping[str, Edit]
) -> dict[str, list[Finding]]:
    """The pattern deletes of each alias. An unknown one is the only one that there is."""
    shared = {each.alias for each in said if each.backend not in NOT_SHARED}
    found: dict[str, list[Finding]] = defaultdict(list)
    for each in findings:
        if each.aliases and UNKNOWN not in each.aliases:
            named = set(each.aliases)
        elif len(shared) == 1:
            named = shared
        else:
            edits[each.path].leave(each, "it cannot be told which of CACHES it is.")
            continue
        for alias in named:
            found[alias].append(each)
    return found


def _patterns(findings: Iterable[Finding]) -> list[str]:
    """TAG_PATTERNS that pattern deletes need; of those that differ in names of placeholders one."""
    found: dict[str, str] = {}
    for finding in findings:
        for text in finding.patterns:
            found.setdefault(nameless(text), text)
    return list(found.values())


def _tell_of_app(every: Mapping[str, Path], edits: Mapping[str, Edit], path: str) -> None:
    """Say that INSTALLED_APPS wants the app, if it lacks it. The cache itself needs none."""
    if not any(b"INSTALLED_APPS" in text and _APP.search(text) for text in map(_bytes, every.values())):
        edits[path].left.append(
            f'{path}: INSTALLED_APPS wants "unstale.contrib.django", for manage.py unstale and its checks: add it.'
        )


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
