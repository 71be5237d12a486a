"""Comments that let a finding pass: `# unstale: ignore[UNS001] why it may`. A reason is required.

It stands on a line of the call, or alone on the line above. One without a reason, with an unknown rule, or with nothing
to let pass, is told.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from unstale.tools.audit.results import Finding, Problem

_COMMENT: Final = re.compile(r"#\s*unstale:\s*ignore(?:\[([^\]]*)\])?[\s:,\-–]*(.*)")


@dataclass(frozen=True, slots=True)
class Suppression:
    """A comment.

    Attributes:
        line: where it stands.
        rules: the ids that it names.
        reason: what it says.
        alone: whether nothing else is on its line: then it speaks of the next one.
    """

    line: int
    rules: frozenset[str]
    reason: str
    alone: bool

    def covers(self, finding: Finding) -> bool:
        """Whether a finding is meant."""
        at = self.line + 1 if self.alone else self.line
        return finding.rule in self.rules and (
            finding.line <= at <= finding.end_line or (self.alone and finding.line <= self.line <= finding.end_line)
        )


def suppressions(text: str) -> Iterator[Suppression]:
    """The comments of a file."""
    if "unstale:" not in text:
        return
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.COMMENT and (found := _COMMENT.match(token.string)):
                rules = frozenset(each.strip().upper() for each in (found.group(1) or "").split(",") if each.strip())
                alone = not token.line[: token.start[1]].strip()
                yield Suppression(token.start[0], rules, found.group(2).strip(), alone)
    except (tokenize.TokenError, IndentationError):
        return


def applied(
    findings: Iterable[Finding], comments: Collection[Suppression], path: str, known: Collection[str]
) -> tuple[list[Finding], list[tuple[Finding, str]], list[Problem]]:
    """Findings that stay, those that pass with their reason, and what is wrong with the comments.

    Args:
        findings: of one file, all of them.
        comments: of the same file.
        path: its path.
        known: the ids of all rules.
    """
    stay: list[Finding] = []
    passed: list[tuple[Finding, str]] = []
    used: set[Suppression] = set()
    for finding in findings:
        found = next((each for each in comments if each.reason and each.covers(finding)), None)
        if found is None:
            stay.append(finding)
        else:
            used.add(found)
            passed.append((finding, found.reason))
    return stay, passed, list(_told(comments, used, path, known))


def _told(
    comments: Iterable[Suppression], used: Collection[Suppression], path: str, known: Collection[str]
) -> Iterator[Problem]:
    for each in comments:
        if not each.rules:
            yield Problem(
                path, "A comment lets every rule pass: name them, as in `# unstale: ignore[UNS001] reason`.", each.line
            )
        elif unknown := sorted(each.rules - set(known)):
            yield Problem(path, f"A comment names a rule that there is not: {', '.join(unknown)}.", each.line)
        elif not each.reason:
            yield Problem(path, "A comment lets a finding pass and gives no reason: it does not count.", each.line)
        elif each not in used:
            yield Problem(
                path, f"A comment lets {', '.join(sorted(each.rules))} pass, and there is nothing to pass.", each.line
            )
