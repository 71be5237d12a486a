"""`unstale top`: a live view of servers; on no terminal the same, once for each window."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated, Final

import typer
from rich.live import Live

from unstale.tools.cli.options import SentinelPassword
from unstale.tools.cli.saying import console, told
from unstale.tools.doctor.gate import CONNECT_SECONDS, Gate
from unstale.tools.places import Origin, target_of
from unstale.tools.top.following import Follower, FollowError
from unstale.tools.top.keyboard import Keyboard, keyboard
from unstale.tools.top.metrics import ANSWER_SECONDS, Counted, Untold, check_url, counted
from unstale.tools.top.view import View

LOOK_SECONDS: Final = 0.1
"""How often keys and frames are looked at."""
PAGE_SECONDS: Final = 3 * ANSWER_SECONDS
"""What the application's page may take as a whole."""
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
    has_screen = console.is_terminal and not console.is_dumb_terminal
    with told(), ExitStack() as opened:
        if metrics is not None:
            check_url(metrics)
        view = View(target_of(url), has_metrics=metrics is not None, has_keys=has_screen)
        found = Origin(url, Gate(MOST_DISCOVERY).manner(CONNECT_SECONDS), sentinel_password).places()
        followers = [opened.enter_context(Follower(place, interval)) for place in found]
        keys = opened.enter_context(keyboard())
        live = (
            opened.enter_context(Live(view, console=console, screen=True, auto_refresh=False)) if has_screen else None
        )
        _run(view, followers, keys, live, _Page(metrics, interval), windows)
        if not (view.over or any(follower.has_answered for follower in followers)):
            raise FollowError("No server has told any figures.")


class _Page:
    """The application's page, read once for each window, in a thread: it may be slow, and a key is not."""

    def __init__(self, url: str | None, interval: float) -> None:
        self._url = url
        self._interval = interval
        self._due_at = 0.0
        self._late_at = math.inf
        self._read: list[tuple[Counted | Untold, float]] = []

    def tell(self, view: View) -> None:
        """Tell what was read, and begin anew, if it is time. A page that takes too long cannot be reached."""
        now = time.monotonic()
        while self._read:
            view.count(*self._read.pop(0))
            self._late_at = math.inf
        if now >= self._late_at:
            view.count(Untold.UNREACHABLE, now)
        elif self._url is not None and now >= self._due_at and self._late_at == math.inf:
            threading.Thread(target=self._count, args=(self._url,), daemon=True).start()
            self._due_at, self._late_at = now + self._interval, now + PAGE_SECONDS

    def _count(self, url: str) -> None:
        self._read.append((counted(url), time.monotonic()))


def _run(
    view: View, followers: Sequence[Follower], keys: Keyboard, live: Live | None, page: _Page, windows: int
) -> None:
    """Until it is over: keys, new frames, the screen."""
    shown = printed = 0
    while not view.over and not (windows and printed >= windows):
        pressed = keys.pressed(LOOK_SECONDS)
        view.press(pressed)
        page.tell(view)
        seen, over = sum(follower.count for follower in followers), _over(followers)
        frames = [follower.frame for follower in followers]
        if seen > shown or pressed:
            view.show(frames)
            shown = seen
            if live is not None:
                live.refresh()
        if over > printed and live is None:
            _print(view, is_first=not printed)
        printed = over


def _over(followers: Sequence[Follower]) -> int:
    """Windows that are over: every server has had them, or one is ahead by two. A server that is away takes longer."""
    counts = [follower.count for follower in followers]
    return max(min(counts), max(counts) - 1)


def _print(view: View, *, is_first: bool) -> None:
    """A window where there is no screen."""
    if not is_first:
        console.print()
    console.print(time.strftime("%Y-%m-%d %H:%M:%S"))
    console.print(view)
