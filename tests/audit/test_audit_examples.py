"""The examples that each rule's module gives: what it calls bad is found, what it calls good is not."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import pytest

from unstale.tools.audit import Settings, audit
from unstale.tools.audit.rules import RULES

_EXAMPLE = re.compile(r"^(Bad|Good)::\n\n((?:(?:    .*)?\n)+)", re.MULTILINE)
EXAMPLES = [
    pytest.param(rule.id, kind, textwrap.dedent(code), id=f"{rule.id}-{kind}-{number}")
    for rule in RULES.values()
    for number, (kind, code) in enumerate(_EXAMPLE.findall(rule.text))
]


@pytest.mark.parametrize(("rule", "kind", "code"), EXAMPLES)
def test_an_example(tmp_path: Path, rule: str, kind: str, code: str) -> None:
    """A rule finds its bad examples, each once, and not its good ones."""
    (tmp_path / "example.py").write_text(code)
    report = audit(tmp_path, Settings(select=(rule,)))
    assert report.problems == ()
    assert len(report.findings) == (kind == "Bad")


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_has_both(rule: str) -> None:
    """A rule without an example of each kind explains too little."""
    kinds = {kind for kind, _ in _EXAMPLE.findall(RULES[rule].text)}
    assert kinds == {"Bad", "Good"}
