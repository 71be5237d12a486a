"""`manage.py unstale check | tags [KEY] | inspect KEY | invalidate TAG…`: a look at a cache, and a hand on it."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from unstale.contrib.django import describe
from unstale.contrib.django.transactions import Deferred, Queued
from unstale.errors import UnstaleError


class Command(BaseCommand):
    """Look at a cache, and invalidate by hand."""

    help = "Look at a cache: is it there, what is kept under a key, which tags does it carry; invalidate tags by hand."

    def add_arguments(self, parser: CommandParser) -> None:
        """The subcommands."""
        common = CommandParser(add_help=False)
        common.add_argument("--cache", default="default", help="alias in CACHES (default: default)")
        common.add_argument("--key-version", type=int, help="of the keys (default: the alias's VERSION)")
        common.add_argument("--json", action="store_true", help="print JSON")
        what = parser.add_subparsers(dest="what", required=True)
        what.add_parser("check", parents=[common], help="reach the server; exit status 1 where it cannot be")
        tags = what.add_parser("tags", parents=[common], help="the declared patterns, or the tags of a key")
        tags.add_argument("key", nargs="?")
        inspect = what.add_parser("inspect", parents=[common], help="what is kept under a key, without its value")
        inspect.add_argument("key")
        invalidate = what.add_parser("invalidate", parents=[common], help="make everything under these tags stale")
        invalidate.add_argument("tags", nargs="+", metavar="TAG")
        invalidate.add_argument("--soft", action="store_true", help="may be served while it is loaded anew")

    def handle(self, *_: Any, **options: Any) -> None:
        """Do it."""
        try:
            found = getattr(self, f"_{options['what']}")(options)
        except (ImproperlyConfigured, UnstaleError) as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(found, default=str, ensure_ascii=False))
        else:
            self._show(found)
        if found.get("reached") is False:
            raise CommandError(found["problem"])

    def _show(self, found: dict[str, Any]) -> None:
        for name, value in found.items():
            if isinstance(value, list | tuple) and value:
                self.stdout.write(f"{name}:")
                for each in value:
                    shown = ", ".join(f"{part}" for part in each.values()) if isinstance(each, dict) else each
                    self.stdout.write(f"  {shown}")
            else:
                self.stdout.write(f"{name}: {value}")

    def _check(self, options: dict[str, Any]) -> dict[str, Any]:
        return describe.cache_report(options["cache"])

    def _tags(self, options: dict[str, Any]) -> dict[str, Any]:
        backend = describe.backend_of(options["cache"])
        if options["key"] is None:
            return {"patterns": describe.patterns_of(backend)}
        return {"key": options["key"], "tags": describe.tags_of(backend, options["key"], options["key_version"])}

    def _inspect(self, options: dict[str, Any]) -> dict[str, Any]:
        return describe.key_report(describe.backend_of(options["cache"]), options["key"], options["key_version"])

    def _invalidate(self, options: dict[str, Any]) -> dict[str, Any]:
        backend = describe.backend_of(options["cache"])
        done = backend.invalidate(*options["tags"], version=options["key_version"], soft=options["soft"])
        if isinstance(done, Deferred | Queued):
            return {"tags": options["tags"], "state": type(done).__name__.lower()}
        return {"tags": options["tags"], "state": "done", "had_a_stamp": done.bumped}
