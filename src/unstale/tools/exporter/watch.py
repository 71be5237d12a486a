"""Asks all nodes at once, in bounded time, at most once a second. A node that does not answer is a figure, no error.

Each node is asked in a thread of its own, and not again while that one waits. Nobody waits for such a thread longer
than the bound, and the process's end not at all: it may be held up by what no time limit ends, such as a name's lookup.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock, Thread
from time import monotonic
from typing import Any, Final

from unstale.tools.exporter.figures import SECTIONS, Info, tells_anything
from unstale.tools.exporter.nodes import Client, Nodes
from unstale.tools.places import NO_SERVER, hung_up_at, what_is_wrong

FRESH_SECONDS: Final = 1.0
"""However many ask: a server is asked no more often."""
LONGEST: Final = 3
"""Times the timeout: two until it is hung up, and one for the end of that."""
LATE: Final = "It has not answered in time."

logger = logging.getLogger("unstale")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of asking one node.

    Attributes:
        info: None where it did not answer.
        seconds: what that took, connecting included.
        problem: why it did not, without a secret.
    """

    info: Info | None
    seconds: float
    problem: str = ""


class _Question:
    """A node that is asked, in a thread."""

    def __init__(self, client: Client, timeout: float) -> None:
        """Ask."""
        self._client = client
        self._timeout = timeout
        self.answer: Answer | None = None
        self._thread = Thread(target=self._run, name="unstale-exporter", daemon=True)
        self._thread.start()

    def wait(self, until: float) -> Answer | None:
        """What came of it; None if nothing has, until a second of the monotonic clock."""
        self._thread.join(max(0.0, until - monotonic()))
        return self.answer

    def _run(self) -> None:
        self.answer = _ask(self._client, self._timeout)


class Watch:
    """The nodes behind a URL, and their last answers."""

    def __init__(self, url: str, timeout: float, sentinel_password: str | None = None) -> None:
        """Nothing is asked yet.

        Args:
            url: see `Nodes`.
            timeout: seconds for connecting, and again for the answer.
            sentinel_password: of the sentinels, where they have one.

        Raises:
            ConfigurationError: the URL makes no sense.
        """
        self._nodes = Nodes(url, timeout, sentinel_password)
        self._timeout = timeout
        self._asked: dict[str, _Question] = {}
        self._lock = Lock()
        self._answers: Mapping[str, Answer] = {}
        self._asked_at = -FRESH_SECONDS
        self._trouble = ""

    def answers(self) -> Mapping[str, Answer]:
        """What each node says, at most a second old. Of those who ask at once, one asks for all."""
        with self._lock:
            now = monotonic()
            if now - self._asked_at >= FRESH_SECONDS:
                before, self._answers = self._answers, self._ask(now)
                self._asked_at = monotonic()
                _tell(before, self._answers)
                self._tell_trouble()
            return self._answers

    def close(self) -> None:
        """Close the connections. Whoever is still asked is not waited for."""
        self._nodes.close()

    def _tell_trouble(self) -> None:
        """Log that nobody tells any more which servers there are; of one that none was ever named of, see `_tell`."""
        before, self._trouble = self._trouble, self._nodes.trouble
        if self._trouble and not before and self._nodes.service not in self._answers:
            logger.warning("Which servers there are is not known now. %s", self._trouble)

    def _ask(self, now: float) -> Mapping[str, Answer]:
        clients = self._nodes.named(now)
        if not clients:  # so far no sentinel has named any
            return {self._nodes.service: Answer(None, monotonic() - now, self._nodes.trouble)}
        waiting = {name: one for name, one in self._asked.items() if one.answer is None}
        self._asked = {name: waiting.get(name) or _Question(client, self._timeout) for name, client in clients.items()}
        longest = LONGEST * self._timeout
        until = monotonic() + longest
        late = Answer(None, longest, LATE)
        return {name: one.wait(until) or late for name, one in self._asked.items()}


def _ask(client: Client, timeout: float) -> Answer:
    began = monotonic()
    with hung_up_at(client, began + 2 * timeout) as late:  # for connecting, and for the answer
        try:
            info: Any = client.info(*SECTIONS)
            is_any = tells_anything(info)
        except Exception as error:  # noqa: BLE001 - whatever stands at that address, the page has the other nodes
            return Answer(None, monotonic() - began, LATE if late.is_set() else what_is_wrong(error))
    seconds = monotonic() - began
    return Answer(info, seconds) if is_any else Answer(None, seconds, NO_SERVER)


def _tell(before: Mapping[str, Answer], after: Mapping[str, Answer]) -> None:
    """Log who has gone away and who is back; what goes on is in the figures."""
    for name, one in after.items():
        was = before.get(name)
        if one.info is None and (was is None or was.info is not None):
            logger.warning("%s does not answer. %s", name, one.problem)
        elif one.info is not None and was is not None and was.info is None:
            logger.warning("%s answers again.", name)
