"""The alerts and the dashboard of monitoring/: they use what there is, and fire when they should."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_programs import MONITORING, promtool

from unstale.contrib import instruments
from unstale.contrib.instruments import Kind
from unstale.tools.exporter.figures import FIGURES, OF_WATCH

ALERTS = MONITORING / "alerts.yml"
DASHBOARD: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
DOCUMENT = MONITORING.parent / "docs" / "metrics.md"

SCRAPED = {"job", "instance"}
"""What Prometheus itself puts on all that it scrapes."""
KNOWN: dict[str, set[str]] = {
    **{one.prometheus_name: {"cache", *one.labels} for one in instruments.OF_EVENTS if one.kind is not Kind.HISTOGRAM},
    **{one.prometheus_name: set(one.labels) for one in instruments.SAMPLED},
    **{one.name: {"node", *one.labels} for one in (*FIGURES, *OF_WATCH)},
    **{
        f"{one.prometheus_name}_{part}": {"cache", "le", *one.labels}
        for one in instruments.OF_EVENTS
        if one.kind is Kind.HISTOGRAM
        for part in ("bucket", "count", "sum")
    },
}
"""Each metric as a query names it, with its labels."""
RECORDED = {"unstale:hit_rate:ratio_rate10m": {"cache"}, "unstale:reads:rate10m": {"cache"}}
"""What the rules record."""


def rules() -> list[dict[str, Any]]:
    """All rules of the file."""
    return [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]


def targets() -> Iterator[tuple[str, str]]:
    """The dashboard's panels' queries, as Prometheus would get them."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield (
                panel["title"],
                re.sub(r"\$__rate_interval|\$__range", "5m", re.sub(r"\$(job|cache|node)\b", ".*", target["expr"])),
            )


QUERIES = [
    *(pytest.param(rule["expr"], id=rule.get("alert") or rule["record"]) for rule in rules()),
    *(pytest.param(query, id=f"{title} {number}") for number, (title, query) in enumerate(targets())),
]


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_uses_what_there_is(query: str) -> None:
    """Each metric exists, each label that it selects or adds up by is one of its own."""
    names = set(re.findall(r"unstale[_:][a-z_0-9:]+", query))
    assert names
    assert names <= KNOWN.keys() | RECORDED.keys()
    has = SCRAPED.union(*((KNOWN | RECORDED)[name] for name in names))
    grouped = ",".join(re.findall(r"(?:by|ignoring|on) ?\(([a-z_, ]*)\)", query))
    assert {label.strip() for label in grouped.split(",") if label.strip()} <= has
    for name, selected in re.findall(r"(unstale[_:][a-z_0-9:]+)\{([^}]*)\}", query):
        assert set(re.findall(r"([a-z_]+) ?(?:=~|!=|=)", selected)) <= SCRAPED | (KNOWN | RECORDED)[name]


def test_every_metric_is_shown() -> None:
    """On the dashboard: none is there for nobody."""
    shown = " ".join(query for _, query in targets())
    metrics = {name for name in KNOWN if not name.endswith(("_count", "_sum"))}
    assert {name for name in metrics if not re.search(rf"\b{name}\b", shown)} == set()


def test_every_legend_names_labels_that_are_left() -> None:
    """A label that was added up is gone from the legend, too."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            grouped = re.search(r"by \(([a-z_, ]*)\)", target["expr"])
            named = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            if grouped is None:
                [name] = set(re.findall(r"unstale_[a-z_]+", target["expr"]))
                assert named <= KNOWN[name] | SCRAPED, target
            else:
                assert named <= {label.strip() for label in grouped[1].split(",")}, target


def test_the_dashboard_fits_any_grafana() -> None:
    """Its data source is a variable; it has no number of its own; its panels do not lie on each other."""
    found = json.dumps(DASHBOARD)
    assert set(re.findall(r'"uid": "([^"]*)"', found)) == {"unstale", "${datasource}"}
    assert "id" not in DASHBOARD
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)
    assert {one["name"] for one in DASHBOARD["templating"]["list"]} == {"datasource", "job", "cache", "node"}


def test_prometheus_reads_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """By its own parser."""
    recorded = [{"record": f"panel:{number}", "expr": query} for number, (_, query) in enumerate(targets())]
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    status, said = promtool("check", "rules", file)
    assert (status, f"{len(recorded)} rules found" in said) == (0, True), said


def test_prometheus_reads_the_alerts() -> None:
    """By its own parser, and what it warns of."""
    status, said = promtool("check", "rules", "--lint-fatal", ALERTS)
    assert status == 0, said


def test_each_alert_fires_when_it_should() -> None:
    """By promtool's own tests, of which every alert has some."""
    status, said = promtool("test", "rules", MONITORING / "alerts_test.yml")
    assert status == 0, said
    tested = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    seen = {(one["alertname"], bool(one["exp_alerts"])) for test in tested for one in test.get("alert_rule_test", ())}
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    assert seen == {(alert, fires) for alert in alerts for fires in (True, False)}


MUTANTS = [
    ("unstale_server_up == 0", "unstale_server_up == 1"),
    ("> 0.9", "> 0.8"),
    ("> 0.9", "> 0.96"),
    ('{class="patterns"}[5m]) > 0.01', '{class="patterns"}[5m]) > 0.001'),
    ('          and ignoring (class) rate(unstale_server_command_calls_total{class="deletes"}[5m]) > 0\n', ""),
    ("          and on () sum(rate(unstale_server_evicted_keys_total[5m])) > 0\n", ""),
    ('{stamp="gone"}', ""),
    ("< 0.8 *", "< 0.5 *"),
    ("          and unstale:reads:rate10m > 1\n", ""),
    ("offset 1h", "offset 1m"),
    ("unstale_outbox_age_seconds) > 60", "unstale_outbox_age_seconds) > 300"),
    ("unstale_outbox_age_seconds) > 60", "unstale_outbox_age_seconds) > 20"),
    ("unstale_outbox_up) == 0", "unstale_outbox_up) == 1"),
    ("unstale_queue_size_bytes) > 0", "unstale_queue_size_bytes) > 200"),
    ("unstale_breakers_open) > 0", "unstale_breakers_open) > 5"),
    ("            (unstale_lost_total unless unstale_lost_total offset 1h)\n            or ", "            "),
    (" unless unstale_lost_total offset 1h", ""),
    ("\n            or increase(unstale_lost_total[1h])", ""),
    ("increase(unstale_lost_total[1h])", "increase(unstale_lost_total[2h])"),
    ("          ) > 0\n", "          ) >= 0\n"),
    (" + (sum by (job, cache) (rate(unstale_stale_hits_total[10m])) or 0 *", " + (0 *"),
]


@pytest.mark.parametrize(("right", "wrong"), MUTANTS)
def test_the_tests_notice_a_wrong_alert(tmp_path: Path, right: str, wrong: str) -> None:
    """Each condition counts: with another one in its place promtool's tests fail."""
    text = ALERTS.read_text()
    assert right in text
    (tmp_path / "alerts.yml").write_text(text.replace(right, wrong))
    (tmp_path / "alerts_test.yml").write_text((MONITORING / "alerts_test.yml").read_text())
    assert promtool("test", "rules", tmp_path / "alerts_test.yml")[0] != 0


def test_every_alert_has_a_runbook() -> None:
    """A heading of the documentation, and no two alerts the same."""
    headings = {
        re.sub(r"[^a-z0-9_ -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("#")
    }
    books = [rule["annotations"]["runbook"] for rule in rules() if "alert" in rule]
    assert len(set(books)) == len(books)
    assert {book.partition("#")[0] for book in books} == {"docs/metrics.md"}
    assert {book.partition("#")[2] for book in books} <= headings


def test_every_metric_is_documented() -> None:
    """By its name in both worlds, and nothing that there is not."""
    text = DOCUMENT.read_text()
    ours = {one.prometheus_name for one in (*instruments.OF_EVENTS, *instruments.SAMPLED)}
    ours |= {one.name for one in (*FIGURES, *OF_WATCH)}
    named = set(re.findall(r"`(unstale_[a-z_]+)`", text))
    assert named == ours
    assert {one.name for one in (*instruments.OF_EVENTS, *instruments.SAMPLED)} <= set(
        re.findall(r"`(unstale\.[a-z_.]+)`", text)
    )


def functions(text: str) -> dict[str, str]:
    """The functions of a module by their names: their decorators, parameters and bodies, without docstrings."""
    found = {}
    for one in ast.parse(text).body:
        if isinstance(one, ast.FunctionDef):
            one.body = one.body[ast.get_docstring(one) is not None :]
            found[one.name] = ast.unparse(one)
    return found


def test_the_documents_hooks_are_the_tested_ones() -> None:
    """What it has for gunicorn and Celery is what the tests' servers run with."""
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    said = {name: code for block in blocks if "\ndef " in block for name, code in functions(block).items()}
    folder = Path(__file__).parent / "metered"
    ours = functions((folder / "gunicorn_conf.py").read_text()) | functions((folder / "metered_celery.py").read_text())
    assert set(said) == {"child_exit", "serve_metrics", "forget"}
    assert {name: said[name] for name in ("child_exit", "forget")} == {
        name: ours[name] for name in ("child_exit", "forget")
    }


def test_what_the_document_imports_is_there() -> None:
    """Every name of ours that it imports."""
    imported = re.findall(r"^from (unstale[\w.]*) import ([\w, ]+)$", DOCUMENT.read_text(), re.MULTILINE)
    assert len(imported) > 4
    for module, names in imported:
        for name in names.split(", "):
            assert hasattr(import_module(module), name) or find_spec(f"{module}.{name}"), (module, name)
