"""`--fix`: what is safe to rewrite, rewritten; what is doubtful is left, and said. Nothing is written here.

    calls      a change of the cache inside a transaction → on_commit; keys() + delete_many() → delete_pattern();
               get, missing, load, set → get_or_set()
    backends   django-redis's BACKEND → unstale's, with the TAG_PATTERNS that the project's pattern deletes need

Only calls of Django's cache that are known to be ones are rewritten, by libcst: formatting and comments stay. What is
rewritten parses, and rewriting it again changes nothing.
"""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unstale.tools.audit.code.declarations import DJANGO_REDIS, caches_of, nameless
from unstale.tools.audit.code.indexing import indexed
from unstale.tools.audit.errors import AuditError
from unstale.tools.audit.fixes.backends import with_unstale
from unstale.tools.audit.fixes.calls import rewritten
from unstale.tools.audit.results import Finding, Report
from unstale.tools.audit.settings import Settings
from unstale.tools.audit.sources import files, read

_NAMED: Final = re.compile(rb"""caches\[["'](\w+)["']\]""")
FIXED: Final[frozenset[str]] = frozenset({"UNS001", "UNS004", "UNS005"})
"""Rules of which some findings can be rewritten."""


@dataclass(frozen=True, slots=True)
class Fix:
    """A file, rewritten.

    Attributes:
        path: relative to what was audited.
        old: its bytes.
        new: its bytes then; the same where nothing could be done.
        done: what was done, a sentence each.
        left: what was left, and why.
    """

    path: str
    old: bytes
    new: bytes
    done: tuple[str, ...]
    left: tuple[str, ...]

    def diff(self) -> Iterator[str]:
        """The difference, as `diff -u` has it."""
        old, new = (each.decode("utf-8", "replace").splitlines(keepends=True) for each in (self.old, self.new))
        yield from difflib.unified_diff(old, new, f"a/{self.path}", f"b/{self.path}")


def fixes(root: Path, report: Report, settings: Settings) -> list[Fix]:
    """What can be rewritten.

    Args:
        root: what was audited.
        report: what was found.
        settings: of the audit.
    """
    by_path: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.rule in FIXED and finding.cell is None:
            by_path.setdefault(finding.path, []).append(finding)
    made: list[Fix] = []
    patterns = _patterns(report.findings)
    every = list(files(root, settings))
    deleting = {each.path for each in report.findings if each.rule == "UNS001"}
    named = _aliases(file.read_bytes() for file, path in every if path in deleting)
    for file, path in every:
        wanted = by_path.get(path, [])
        old = file.read_bytes() if wanted or (patterns and b"CACHES" in _head(file)) else b""
        if old:
            fix = _fixed(file, path, old, wanted, (patterns, named), settings)
            if fix.new != fix.old or fix.left:
                made.append(fix)
    return made


def _head(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _patterns(findings: Iterable[Finding]) -> tuple[str, ...]:
    """All TAG_PATTERNS that Django's pattern deletes need; of those that differ in names of placeholders one."""
    found: dict[str, str] = {}
    for finding in findings:
        if finding.rule == "UNS001" and finding.family == "django":
            for text in finding.patterns:
                found.setdefault(nameless(text), text)
    return tuple(found.values())


def _aliases(files_of: Iterable[bytes]) -> frozenset[str]:
    """The caches whose keys are deleted by pattern: the default one, and those that such a file names."""
    return frozenset({"default", *(found.decode() for text in files_of for found in _NAMED.findall(text))})


def _fixed(
    file: Path,
    path: str,
    old: bytes,
    wanted: list[Finding],
    declared: tuple[tuple[str, ...], frozenset[str]],
    settings: Settings,
) -> Fix:
    new, done, left = rewritten(old, wanted)
    patterns, named = declared
    source, _ = read(file, path, settings)
    if patterns and source is not None:
        module = indexed(path, source.module_name, source.tree, is_package=source.is_package)
        aliases = [each.alias for each in caches_of([module]) if each.backend == DJANGO_REDIS and each.alias in named]
        if aliases:
            new, said = with_unstale(new, aliases, patterns)
            done += said
    try:
        ast.parse(new)
    except (SyntaxError, ValueError) as error:
        raise AuditError(
            f"{path} would not parse after it was rewritten ({error}): nothing was written. Please report it."
        ) from error
    return Fix(path, old, new, tuple(done), tuple(left))


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
