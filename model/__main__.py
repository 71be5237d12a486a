"""`python -m model`: explore every scenario, print a table, exit with 1 if anything is not as expected."""

from __future__ import annotations

import argparse
import gc
import sys

from model.engine import Search
from model.scenario import HOLDS, VIOLATED, Scenario
from model.scenarios import SCENARIOS

MOST = 500_000
MOST_DEEP = 10_000_000
"""States beyond which a search is given up: its bounds are too large, or it has none."""


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit status."""
    gc.disable()  # a search keeps all that it makes; it would be gone through again and again
    parser = argparse.ArgumentParser(prog="python -m model", description="Explore the protocol as it is built.")
    parser.add_argument("words", nargs="*", help="only scenarios whose group and name contain one of these")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the shortest trace of each violation")
    parser.add_argument("--deep", action="store_true", help="larger bounds: minutes, gigabytes")
    parser.add_argument("--rules", action="store_true", help="print which rule of the code each scenario exercises")
    given = parser.parse_args(arguments)
    chosen = [one for one in SCENARIOS if not given.words or any(word in one.title for word in given.words)]
    print(f"{'scenario':66} {'expected':>9} {'found':>9} {'states':>8} {'seconds':>8}")
    wrong = sum([not as_expected(one, given) for one in chosen])
    print(f"{len(chosen)} scenarios, {wrong} not as expected")
    return 1 if wrong or not chosen else 0


def as_expected(scenario: Scenario, given: argparse.Namespace) -> bool:
    """Explore one scenario and print its line; whether it is as expected."""
    found = Search(scenario.make(given.deep)).run(MOST_DEEP if given.deep else MOST)
    outcome = VIOLATED if found.violation else HOLDS
    good = outcome == scenario.expected
    print(
        f"{scenario.title:66} {scenario.expected:>9} {outcome:>9} {found.states:>8} {found.seconds:>8.2f}"
        + ("" if good else "  <-- not as expected"),
        flush=True,
    )
    if given.rules:
        print(f"      {scenario.rule}")
    if found.violation and (given.verbose or not good):
        for number, step in enumerate(found.trace, 1):
            print(f"      {number:2}. {step}")
    return good


if __name__ == "__main__":
    sys.exit(main())
