"""`manage.py unstale check | tags [KEY] | inspect KEY | invalidate TAG… | drain`: a look at a cache, and a hand on it.

Exit status 1, and a line on stderr, where the server cannot be reached, the outbox has no table, or the cache is not
ours.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from unstale.contrib.django import describe
from unstale.errors import StoreError, UnstaleError

QUIET: Final = frozenset({"changed_tag", "entry", "outbox", "problem", "queue", "server", "why"})
"""What people are not told of while it is empty."""


class Command(BaseCommand):
    """Look at a cache, and invalidate by hand."""

    help = "Look at a cache: is it there, what is kept under a key, which tags does it carry; invalidate tags by hand."

    def add_arguments(self, parser: CommandParser) -> None:
        """The subcommands."""
        common = CommandParser(add_help=False)
        _add_options_of_django(common)
        common.add_argument("--cache", default="default", help="alias in CACHES (default: default)")
        common.add_argument("--json", action="store_true", help="print JSON")
        keyed = CommandParser(add_help=False)
        keyed.add_argument("--key-version", type=int, help="of the keys (default: the alias's VERSION)")
        what = parser.add_subparsers(dest="what", required=True)
        what.add_parser("check", parents=[common], help="reach the server; exit status 1 where it cannot be")
        tags = what.add_parser("tags", parents=[common, keyed], help="the declared patterns, or the tags of a key")
        tags.add_argument("key", nargs="?")
        inspect = what.add_parser(
            "inspect", parents=[common, keyed], help="what is kept under a key, without its value"
        )
        inspect.add_argument("key")
        invalidate = what.add_parser(
            "invalidate", parents=[common, keyed], help="make everything under these tags stale"
        )
        invalidate.add_argument("tags", nargs="+", metavar="TAG")
        what.add_parser("drain", parents=[common], help="have what OPTIONS['QUEUE'] keeps take effect; for cron")
        invalidate.add_argument("--soft", action="store_true", help="may be served while it is loaded anew")

    def handle(self, *_: Any, **options: Any) -> None:
        """Do it."""
        verbs: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "check": lambda given: describe.cache_report(given["cache"]),
            "tags": self._tags,
            "inspect": self._inspect,
            "invalidate": self._invalidate,
            "drain": lambda given: describe.drain_report(given["cache"]),
        }
        try:
            found = verbs[options["what"]](options)
        except StoreError as error:
            raise CommandError(f"{type(error).__name__}: {error}") from error
        except (ImproperlyConfigured, UnstaleError) as error:
            raise CommandError(str(error)) from error
        shown = json.dumps(found, ensure_ascii=False) if options["json"] else "\n".join(lines_of(for_people(found)))
        self.stdout.write(shown)
        parts = (found, found.get("outbox", {}), found.get("queue", {}))
        problem = next((part["problem"] for part in parts if part.get("problem")), None)
        if problem:
            raise CommandError(problem)

    def _tags(self, options: dict[str, Any]) -> dict[str, Any]:
        backend = describe.backend_of(options["cache"])
        if options["key"] is None:
            return {"patterns": describe.patterns_of(backend)}
        return describe.tags_report(backend, options["key"], options["key_version"])

    def _inspect(self, options: dict[str, Any]) -> dict[str, Any]:
        return describe.key_report(describe.backend_of(options["cache"]), options["key"], options["key_version"])

    def _invalidate(self, options: dict[str, Any]) -> dict[str, Any]:
        backend = describe.backend_of(options["cache"])
        done = backend.invalidate(*options["tags"], version=options["key_version"], soft=options["soft"])
        return describe.invalidation_report(backend, options["tags"], done, options["key_version"])


def _add_options_of_django(parser: CommandParser) -> None:
    """What every command takes, behind the subcommand as well; what is not given there is what stands in front."""
    for names in (("-v", "--verbosity"), ("--settings",), ("--pythonpath",)):
        kind: dict[str, Any] = {"type": int, "choices": range(4)} if "-v" in names else {}
        parser.add_argument(*names, default=argparse.SUPPRESS, help=argparse.SUPPRESS, **kind)
    for name in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        parser.add_argument(name, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def for_people(found: dict[str, Any]) -> dict[str, Any]:
    """A report in fewer and plainer lines: without what has nothing to say, names as the project has them."""
    shown = {name: value for name, value in found.items() if value or name not in QUIET}
    if "made_key" in shown:
        shown["key"] = f"{shown['key']} ({shown.pop('made_key')})"
    if "patterns" in shown:
        shown["patterns"] = [f"{one['pattern']}  →  {one['tag']}" for one in shown["patterns"]]
    if shown.get("had_a_stamp") is not None:
        why = (
            ""
            if shown["had_a_stamp"]
            else ": nothing that is cached carried " + ("it" if len(shown["tags"]) == 1 else "them")
        )
        shown["had_a_stamp"] = f"{shown['had_a_stamp']} of {len(shown['tags'])}{why}"
    return shown


def lines_of(found: dict[str, Any], indent: str = "") -> Iterator[str]:
    """A report for people: a line for each name, parts below it."""
    for name, value in found.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{name}:"
            yield from lines_of(value, indent + "  ")
        elif isinstance(value, list) and value:
            yield f"{indent}{name}:"
            for each in value:
                shown = (
                    ", ".join(f"{part}: {is_so}" for part, is_so in each.items()) if isinstance(each, dict) else each
                )
                yield f"{indent}  {shown}"
        else:
            yield f"{indent}{name}: {'-' if value in ('', None, [], {}) else value}"
