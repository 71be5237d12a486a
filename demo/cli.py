"""The command line: options, and the order of events."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import redis

from demo import report, server
from demo.run import run_variant
from demo.screen import Screen
from demo.server import DemoError
from demo.variants import VARIANTS, titles
from demo.workload import Load

MOST_RATE = 100_000.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo.

    Returns:
        0; 1 if unstale served a stale read or let an error through to a reader; 2 if the demo could not run; 130 if it
        was interrupted.
    """
    signal.signal(signal.SIGTERM, _terminated)
    parser = _parser()
    options = parser.parse_args(arguments)
    load = _load(parser, options)
    screen = Screen()
    try:
        return _run(options, load, screen)
    except DemoError as error:
        screen.stop()
        screen.say(f"The demo could not run: {error}")
        return 2
    except redis.RedisError as error:
        screen.stop()
        screen.say(f"The server went away: {error}. On a server of yours, keys unstale-demo-* may be left.")
        return 2
    except KeyboardInterrupt:
        screen.stop()
        screen.say("Interrupted: everything that was started has been ended.")
        return 130


def _run(options: argparse.Namespace, load: Load, screen: Screen) -> int:
    url = _own_url(options.url)
    if url is not None:
        server.check(url)
    told = []
    with screen:
        for letter, title in titles(options.variants).items():
            with server.place(url, letter) as place:
                engine = server.name_of(place.url)
                told.append(run_variant((letter, title), place, load, screen.phase))
    exit_code = report.verdict(told)
    screen.show(report.table(told, report.caption(load, engine, own=url is None)))
    for paragraph in report.conclusion(told):
        screen.say(f"\n{paragraph}")
    if options.json is not None:
        report.write_json(options.json, load, engine, told, exit_code)
    return exit_code


def _own_url(url: str | None) -> str | None:
    """The user's server; None for the embedded one."""
    return None if not url or url.startswith("embedded://") else url


def _terminated(_signal: int, _frame: object) -> NoReturn:
    """End on SIGTERM as on Ctrl-C: in order."""
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    usual = Load()
    parser = argparse.ArgumentParser(prog="python -m demo", description="What deleting cache keys costs.")
    add = parser.add_argument
    add("--seconds", type=float, default=usual.seconds, help="how long each variant runs (%(default)s)")
    add("--rate", type=float, default=usual.rate, help="operations offered a second (%(default)s)")
    add("--users", type=int, default=usual.users, help="how many users (%(default)s)")
    add("--keys", type=int, default=usual.keys, help="cached pages of all users (%(default)s)")
    add("--seed", type=int, default=usual.seed, help="for all random draws (%(default)s)")
    add("--variants", type=_letters, default=list(VARIANTS), help="which of abcd (all)")
    add("--url", default=os.environ.get("UNSTALE_URL"), help="a server of your own (UNSTALE_URL); its keys are kept")
    add("--json", type=Path, help="a file for all figures")
    return parser


def _letters(text: str) -> list[str]:
    letters = [letter for letter in text if letter not in ", "]
    if not letters or any(letter not in VARIANTS for letter in letters):
        raise argparse.ArgumentTypeError(f"some of {', '.join(VARIANTS)}, not {text!r}")
    return sorted(set(letters))


def _load(parser: argparse.ArgumentParser, options: argparse.Namespace) -> Load:
    if not 0.5 <= options.seconds <= 3600:
        parser.error("--seconds must be from 0.5 to 3600.")
    if not 1 <= options.rate <= MOST_RATE:
        parser.error(f"--rate must be from 1 to {MOST_RATE:.0f}.")
    if not 1 <= options.users <= options.keys:
        parser.error("--users must be at least 1, and --keys at least as many.")
    return Load(
        seconds=options.seconds,
        rate=options.rate,
        users=options.users,
        pages=options.keys // options.users,
        seed=options.seed,
    )
