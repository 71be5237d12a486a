"""`unstale exporter`: a server's side for Prometheus, served until it is stopped."""

from __future__ import annotations

import logging
import threading
from contextlib import closing
from typing import Annotated, Final

import typer

from unstale.tools.cli.options import SentinelPassword
from unstale.tools.cli.saying import console, told
from unstale.tools.exporter.errors import ExporterError
from unstale.tools.exporter.serve import serving
from unstale.tools.exporter.watch import Watch
from unstale.tools.places import target_of

PORT: Final = 9749
"""In the range in which exporters are, and nobody's in Prometheus's list of default ports when it was chosen."""


def exporter(
    url: Annotated[
        str,
        typer.Argument(
            envvar="UNSTALE_EXPORTER_URL",
            help="redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, whose every node is asked.",
        ),
    ],
    *,
    sentinel_password: SentinelPassword = None,
    listen: Annotated[str, typer.Option(help="host:port of the page; port 0 for a free one.")] = f"127.0.0.1:{PORT}",
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds that a server has to answer.")] = 3.0,
) -> None:
    """Tell Prometheus of a server: engine CPU, commands by class, memory, evictions. Read-only, one INFO a scrape."""
    logging.basicConfig(format="%(asctime)s %(message)s")
    with told():
        host, port = _address(listen)
        try:
            with closing(Watch(url, timeout, sentinel_password)) as watch, serving(watch, host, port) as found:
                console.print(
                    f"{target_of(url)} is told of at http://{listen.rpartition(':')[0]}:{found}/metrics",
                    soft_wrap=True,
                    markup=False,
                )
                threading.Event().wait()
        except KeyboardInterrupt:  # also SIGTERM: how it is meant to end
            console.print("Stopped.")


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isdecimal() and int(port) < 1 << 16):
        raise ExporterError(f"--listen needs a host and a port, such as 127.0.0.1:{PORT}, not {listen!r}.")
    return host.strip("[]"), int(port)
