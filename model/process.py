"""Processes: what the search explores. Nothing here knows of caches.

A process runs operations one after the other. An operation is a generator: it yields a step (or several, of which one
happens) and is sent what the step replied. A step happens at one moment; between two steps anything else may happen.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, NamedTuple, TypeAlias

WAIT: Final = "wait"
"""What a step replies that cannot happen now. It must not have changed anything."""


HOLDS: Final = "holds"
VIOLATED: Final = "violated"
GIVEN_UP: Final = "given up"


class Violation(Exception):  # noqa: N818 - a finding, not an error
    """A promise is broken."""


class Step(NamedTuple):
    """What happens at one moment.

    Attributes:
        label: for the trace.
        code: where the code does it, below `unstale`; empty for what is not the library's.
        act: changes the world that it is given, and replies.
    """

    label: str
    code: str
    act: Callable[[Any], Any]


Run: TypeAlias = Generator["Step | tuple[Step, ...]", Any, None]
Operation: TypeAlias = Callable[[], Run]


class Process(NamedTuple):
    """A name for the trace, and what it does, once or for ever. Those that do the same are interchangeable."""

    name: str
    operations: tuple[Operation, ...]
    for_ever: bool = False


def copies(count: int, name: str, *operations: Operation) -> list[Process]:
    """Several processes that do the same."""
    return [Process(f"{name}{number + 1}", operations) for number in range(count)]


class Model(NamedTuple):
    """A world to begin with (its attributes: hashable values, or dicts of them), who acts, and a check at the end."""

    world: Any
    processes: list[Process]
    at_end: Callable[[Any], None] = lambda _: None


class Found(NamedTuple):
    """What a search found: the violation with its trace, or neither; how many states; in how many seconds of CPU.

    It is not `complete` if it was given up.
    """

    violation: str | None
    trace: list[str]
    states: int
    seconds: float
    complete: bool = True

    @property
    def outcome(self) -> str:
        """HOLDS, VIOLATED or GIVEN_UP."""
        return VIOLATED if self.violation else HOLDS if self.complete else GIVEN_UP


class Places:
    """Where a process can stand: an operation, and the replies that it has had. Found by running the operation anew."""

    def __init__(self, process: Process) -> None:
        """Begin with the place at the start, number 0."""
        self._operations = process.operations
        self._for_ever = process.for_ever
        self.steps: list[tuple[Step, ...]] = []
        self._known: list[tuple[int, tuple[Any, ...]]] = []
        self._numbers: dict[tuple[int, tuple[Any, ...]], int] = {}
        self._next: dict[tuple[int, Any], int] = {}
        self._number(0, ())

    def after(self, place: int, reply: Any) -> int:
        """The place that a reply leads to."""
        number = self._next.get((place, reply))
        if number is None:
            operation, replies = self._known[place]
            number = self._next[place, reply] = self._number(operation, (*replies, reply))
        return number

    def _number(self, operation: int, replies: tuple[Any, ...]) -> int:
        steps: Step | tuple[Step, ...] = ()
        if self._for_ever:
            operation %= len(self._operations)
        if operation < len(self._operations):
            run = self._operations[operation]()
            try:
                steps = next(run)
                for reply in replies:
                    steps = run.send(reply)
            except StopIteration:
                return self._number(operation + 1, ())
        if (operation, replies) not in self._numbers:
            self._numbers[operation, replies] = len(self.steps)
            self._known.append((operation, replies))
            self.steps.append((steps,) if isinstance(steps, Step) else steps)
        return self._numbers[operation, replies]
