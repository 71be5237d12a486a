"""A report as SARIF 2.1.0, for code hosts and editors. The words are the standard's (OASIS, 27 March 2020)."""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

import unstale
from unstale.tools.audit.results import Finding, Problem, Report
from unstale.tools.audit.rules import RULES

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
VERSION: Final = "2.1.0"


def sarif(report: Report) -> bytes:
    """A report as a SARIF file."""
    return msgspec.json.format(msgspec.json.encode(log(report)), indent=2) + b"\n"


def log(report: Report) -> dict[str, Any]:
    """A report as SARIF's log object."""
    ids = list(RULES)
    results = [_result(each, ids) for each in report.findings]
    results += [
        _result(each, ids, suppression={"kind": "inSource", "justification": each.ignored or ""})
        for each in report.ignored
    ]
    results += [
        _result(each, ids, suppression={"kind": "external", "justification": "in the baseline"})
        for each in report.known
    ]
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "unstale audit",
                        "version": unstale.__version__,
                        "rules": [_rule(each) for each in ids],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"ROOT": {"description": {"text": "What was audited."}}},
                "invocations": [
                    {
                        "executionSuccessful": not report.interrupted,
                        "toolExecutionNotifications": [_notification(each) for each in report.problems],
                    }
                ],
                "results": results,
            }
        ],
    }


def _rule(identifier: str) -> dict[str, Any]:
    rule = RULES[identifier]
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.why},
        "help": {"text": rule.remedy},
        "defaultConfiguration": {"level": str(rule.level)},
    }


def _result(finding: Finding, ids: list[str], suppression: dict[str, str] | None = None) -> dict[str, Any]:
    said = f"{finding.why} {finding.remedy}"
    if finding.patterns:
        said += f" TAG_PATTERNS: {', '.join(finding.patterns)}."
    made: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": ids.index(finding.rule),
        "level": str(finding.level),
        "message": {"text": said},
        "locations": [_location(finding.path, finding.line, finding.end_line, finding.column, finding.text)],
        "partialFingerprints": {"unstale/v1": _fingerprint(finding)},
    }
    if finding.callers:
        made["relatedLocations"] = [
            {"id": number, "message": {"text": "A call that reaches it."}, **_location(each.path, each.line)}
            for number, each in enumerate(finding.callers, 1)
        ]
    if suppression is not None:
        made["suppressions"] = [suppression]
    return made


def _location(
    path: str, line: int, end_line: int | None = None, column: int | None = None, text: str = ""
) -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": line}
    if end_line is not None:
        region |= {"endLine": end_line}
    if column is not None:
        region |= {"startColumn": column}
    if text:
        region |= {"snippet": {"text": text}}
    return {"physicalLocation": {"artifactLocation": {"uri": _uri(path), "uriBaseId": "ROOT"}, "region": region}}


def _uri(path: str) -> str:
    from urllib.parse import quote  # noqa: PLC0415 - only here

    return quote(path)


def _notification(problem: Problem) -> dict[str, Any]:
    return {
        "level": "warning",
        "message": {"text": problem.why},
        "locations": [_location(problem.path, problem.line or 1)],
    }


def _fingerprint(finding: Finding) -> str:
    """The same wherever the finding moves within its function."""
    said = f"{finding.rule}\0{finding.path}\0{finding.symbol}\0{finding.text}"
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:32]
