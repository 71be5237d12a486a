"""`unstale top`: a live view of servers; on no terminal the same, once for each window."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Annotated, Final

import typer
from rich.live import Live

from unstale.tools.cli.options import SentinelPassword
from unstale.tools.cli.saying import console, told
from unstale.tools.doctor.gate import CONNECT_SECONDS, Gate
from unstale.tools.places import Origin, target_of
from unstale.tools.top.following import Follower
from unstale.tools.top.keyboard import Keyboard, keyboard
from unstale.tools.top.metrics import check_url, counted
from unstale.tools.top.view import View

LOOK_SECONDS: Final = 0.1
"""How often keys and frames are looked at."""
MOST_DISCOVERY: Final = 1000
"""Commands to find the servers behind a URL."""


def top(
    url: Annotated[
        str,
        typer.Argument(
            envvar="UNSTALE_TOP_URL",
            show_default=False,
            help="redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://, with user and password.",
        ),
    ],
    *,
    sentinel_password: SentinelPassword = None,
    interval: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds of a window.")] = 1.0,
    windows: Annotated[int, typer.Option("--count", min=0, help="End after so many windows; 0: at q, or Ctrl-C.")] = 0,
    metrics: Annotated[
        str | None,
        typer.Option(help="The application's page for Prometheus: stale reads and refused fills are known only there."),
    ] = None,
) -> None:
    """Watch what servers work for, as it happens. It only reads. Keys: q quit, p pause, s sort, n next server."""
    with told():
        if metrics is not None:
            check_url(metrics)
        view = View(target_of(url), has_metrics=metrics is not None)
        with ExitStack() as opened:
            found = Origin(url, Gate(MOST_DISCOVERY).manner(CONNECT_SECONDS), sentinel_password).places()
            followers = [opened.enter_context(Follower(place, interval)) for place in found]
            keys = opened.enter_context(keyboard())
            live = opened.enter_context(_live(view))
            _run(view, followers, keys, live, _Page(metrics, interval), windows)


class _Page:
    """The application's page, read once for each window."""

    def __init__(self, url: str | None, interval: float) -> None:
        self._url = url
        self._interval = interval
        self._due_at = 0.0

    def tell(self, view: View) -> None:
        """Read it, if it is time."""
        now = time.monotonic()
        if self._url is not None and now >= self._due_at:
            view.count(counted(self._url), now)
            self._due_at = now + self._interval


@contextmanager
def _live(view: View) -> Iterator[Live | None]:
    """The screen; None where there is none."""
    if not console.is_terminal:
        yield None
        return
    with Live(view, console=console, screen=True, auto_refresh=False) as live:
        yield live


def _run(
    view: View, followers: Sequence[Follower], keys: Keyboard, live: Live | None, page: _Page, windows: int
) -> None:
    """Until it is over: keys, new frames, the screen."""
    shown = 0
    while not view.over:
        pressed = keys.pressed(LOOK_SECONDS)
        view.press(pressed)
        page.tell(view)
        seen = sum(follower.count for follower in followers)
        if seen > shown or pressed:
            view.show([follower.frame for follower in followers])
            if live is not None:
                live.refresh()
            elif seen > shown:
                console.print(view)
            shown = seen
        if windows and max(follower.count for follower in followers) >= windows:
            return
