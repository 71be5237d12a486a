"""The tables of a scale run for the terminal, eighty columns wide. Nothing is printed here, and nothing is judged."""

from __future__ import annotations

from rich import box
from rich.table import Table

from unstale.tools.lab.scale_chart import short
from unstale.tools.lab.scale_results import VERBS, ScaleResults, Verb
from unstale.tools.wording import DASH, duration

TITLES: dict[Verb, str] = {
    "invalidate": "One invalidation: the engine's CPU, by keys in the database",
    "read": "One read, a hit: the engine's CPU, by keys in the database",
}


def scale_tables(scale: ScaleResults) -> list[Table]:
    """One for each verb: a row for each method and number of keys of a user."""
    return [_table(scale, verb) for verb in VERBS]


def _table(scale: ScaleResults, verb: Verb) -> Table:
    sizes = sorted({one.keys for one in scale.points})
    found = {(one.method, one.keys_per_user, one.keys): one for one in scale.points if one.verb == verb}
    made = Table(title=TITLES[verb], title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    made.add_column("method", no_wrap=True)
    for head in ("keys of a user", *(short(size) for size in sizes)):
        made.add_column(head, justify="right", no_wrap=True)
    for method, per_user in dict.fromkeys((method, per_user) for method, per_user, _ in sorted(found)):
        points = [found.get((method, per_user, size)) for size in sizes]
        cells = [DASH if point is None else duration(point.engine_us) for point in points]
        made.add_row(method, f"{per_user:,}", *cells)
    return made
