"""What is seen while the demo runs: a bar for each phase on a terminal, a line for each elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

WIDTH_ELSEWHERE = 80
"""Columns where there is no terminal that has a width."""


class Screen:
    """Where progress and results are shown."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = WIDTH_ELSEWHERE
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=self._console, refresh_per_second=4)

    def __enter__(self) -> Self:
        """Begin to show progress."""
        if self._console.is_terminal:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the bars as they are."""
        self.stop()

    def stop(self) -> None:
        """Show no more progress."""
        if self._console.is_terminal:
            self._bars.stop()

    @contextmanager
    def phase(self, title: str, total: float) -> Iterator[Callable[[float], None]]:
        """Show one phase; what is given takes how much of the total is done."""
        if not self._console.is_terminal:
            self.say(f"{title} ...")
            yield lambda _done: None
            return
        bar = self._bars.add_task(title, total=total)
        yield lambda done: self._bars.update(bar, completed=min(done, total))
        self._bars.update(bar, completed=total)

    def show(self, what: RenderableType) -> None:
        """Print a table."""
        self._console.print()
        self._console.print(what)

    def say(self, text: str) -> None:
        """Print a paragraph as it is."""
        self._console.print(text, markup=False)
