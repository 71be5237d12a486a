"""`--fix`: what is safe to rewrite, rewritten; what is doubtful is left, and said. Nothing is written here.

    calls      a change of the cache inside a transaction → on_commit; keys() + delete_many() → delete_pattern();
               get, missing, load, set → get_or_set()
    declaring  which alias of CACHES needs which TAG_PATTERNS, from the project's pattern deletes
    backends   django-redis's BACKEND → unstale's, with those TAG_PATTERNS

Only calls of Django's cache that are known to be ones are rewritten, by libcst: formatting and comments stay. What is
rewritten parses, and rewriting it again changes nothing.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from unstale.tools.audit.errors import AuditError
from unstale.tools.audit.fixes.calls import rewritten
from unstale.tools.audit.fixes.declaring import declare
from unstale.tools.audit.fixes.edits import Edit, Fix
from unstale.tools.audit.results import Finding, Report
from unstale.tools.audit.settings import Settings
from unstale.tools.audit.sources import files

FIXED: Final[frozenset[str]] = frozenset({"UNS001", "UNS004", "UNS005"})
"""Rules of which some findings can be rewritten."""


def fixes(root: Path, report: Report, settings: Settings) -> list[Fix]:
    """What can be rewritten. Each finding of the rules that are FIXED is rewritten, or said to be left.

    Args:
        root: what was audited.
        report: what was found.
        settings: of the audit.
    """
    every = {path: file for file, path in files(root, settings)}
    by_path: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.rule in FIXED and finding.path in every:
            by_path.setdefault(finding.path, []).append(finding)
    edits: dict[str, Edit] = {}
    to_declare: list[Finding] = []
    own = {part.removesuffix(".py") for path in every for part in path.split("/")}
    for path, findings in by_path.items():
        edit = edits[path] = Edit(every[path].read_bytes())
        for each in findings:
            if each.cell is not None:
                edit.leave(each, "it is in a notebook.")
        made = rewritten(edit.old, [each for each in findings if each.cell is None], own)
        edit.new = made.new
        edit.done += made.done
        for each, why in made.left:
            edit.leave(each, why)
        to_declare += made.to_declare
    declare(every, edits, to_declare, settings)
    return [_checked(edits[path].fix(path)) for path in every if path in edits and edits[path].matters]


def _checked(fix: Fix) -> Fix:
    try:
        if fix.new != fix.old:
            ast.parse(fix.new)
    except (SyntaxError, ValueError) as error:
        raise AuditError(
            f"{fix.path} would not parse after it was rewritten ({error}): nothing was written. Please report it."
        ) from error
    return fix


def write(root: Path, made: Iterable[Fix]) -> None:
    """Write what was rewritten.

    Raises:
        AuditError: a file has changed meanwhile, or cannot be written.
    """
    for fix in made:
        if fix.new == fix.old:
            continue
        file = root if root.is_file() else root / fix.path
        try:
            if file.read_bytes() != fix.old:
                raise AuditError(f"{fix.path} has changed since it was read. Run it again.")
            file.write_bytes(fix.new)
        except OSError as error:
            raise AuditError(f"{fix.path} cannot be written: {error.strerror}.") from error
