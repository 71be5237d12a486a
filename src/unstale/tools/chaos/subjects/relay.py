"""The outbox's relay, beside the readers and writers of a phase, as `manage.py unstale_relay` runs in production.

    python -m unstale.tools.chaos.subjects.relay PLACE      (a file with its JSON)

It makes the outbox's table, says "ready", and relays until SIGTERM.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from django.core.management import call_command

from unstale.tools.chaos.subject import Place
from unstale.tools.chaos.subjects.with_django import configure


def main(place: Place) -> None:
    """Relay."""
    configure(place)
    print("ready", flush=True)  # noqa: T201 - whoever started it waits for this line
    call_command("unstale_relay")


if __name__ == "__main__":
    main(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Place))
