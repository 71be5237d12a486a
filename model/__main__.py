"""`python -m model`: explore every scenario, print a table, exit with 1 if anything is not as expected."""

from __future__ import annotations

import argparse
import gc
import sys

from model.engine import Search
from model.process import Found
from model.scenario import Scenario
from model.scenarios import SCENARIOS

MOST = 500_000
MOST_DEEP = 4_000_000
"""States beyond which a search is given up: its bounds are too large, or it has none."""


def main(arguments: list[str] | None = None) -> int:
    """Run; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m model", description="Explore the protocol as it is built.")
    parser.add_argument("words", nargs="*", help="only scenarios whose group and name contain one of these")
    parser.add_argument("-v", "--verbose", action="store_true", help="the shortest trace of each violation, the rules")
    parser.add_argument("--deep", action="store_true", help="larger bounds: ten minutes or so, some gigabytes")
    given = parser.parse_args(arguments)
    chosen = [one for one in SCENARIOS if not given.words or any(word in one.title for word in given.words)]
    if not chosen:
        tell(f"No scenario is called {' or '.join(given.words)}. Groups: {', '.join(groups())}.")
        return 1
    gc.disable()  # a search keeps all that it makes, which would be gone through again and again
    tell(f"{'scenario':76} {'expected':>9} {'found':>9} {'states':>8} {'seconds':>8}")
    wrong = [one for one in chosen if not as_expected(one, given.verbose, MOST_DEEP if given.deep else MOST)]
    tell(f"{len(chosen)} scenarios, {len(wrong)} not as expected")
    return 1 if wrong else 0


def groups() -> list[str]:
    """The scenarios' groups, in their order."""
    return list(dict.fromkeys(one.group for one in SCENARIOS))


def as_expected(scenario: Scenario, verbose: bool, most: int) -> bool:  # noqa: FBT001 - the flag's own value
    """Explore one scenario and print its line; whether it is as expected."""
    found = Search(scenario.make(most > MOST)).run(most)
    good = found.outcome == scenario.expected
    tell(
        f"{scenario.title:76} {scenario.expected:>9} {found.outcome:>9} {found.states:>8} {found.seconds:>8.2f}"
        + ("" if good else "  <-- not as expected")
    )
    if verbose:
        tell(f"      {scenario.rule}")
    if verbose or not good:
        tell_steps(found)
    return good


def tell_steps(found: Found) -> None:
    """Print the trace of a violation."""
    for number, step in enumerate(found.trace, 1):
        tell(f"      {number:2}. {step}")


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
