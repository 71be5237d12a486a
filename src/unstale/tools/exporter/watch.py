"""Asks all nodes at once, in bounded time, at most once a second. A node that does not answer is a figure, no error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Lock
from time import monotonic
from typing import Any, Final

from unstale.tools.exporter.figures import SECTIONS, Info
from unstale.tools.exporter.nodes import Client, Nodes
from unstale.tools.places import what_is_wrong

FRESH_SECONDS: Final = 1.0
"""However many ask: a server is asked no more often."""
MOST_AT_ONCE: Final = 32

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
        self._longest = 3 * timeout
        self._pool = ThreadPoolExecutor(MOST_AT_ONCE, "unstale-exporter")
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
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._nodes.close()

    def _tell_trouble(self) -> None:
        """Log that nobody tells any more which servers there are; of one that none was ever named of, see `_tell`."""
        before, self._trouble = self._trouble, self._nodes.trouble
        if self._trouble and not before and self._nodes.service not in self._answers:
            logger.warning("Which servers there are is not known now. %s", self._trouble)

    def _ask(self, now: float) -> Mapping[str, Answer]:
        asked = {name: self._pool.submit(_ask, client) for name, client in self._nodes.named(now).items()}
        if not asked:  # so far no sentinel has named any
            return {self._nodes.service: Answer(None, monotonic() - now, self._nodes.trouble)}
        wait(asked.values(), self._longest)
        late = Answer(None, self._longest, "It does not answer.")
        return {name: one.result() if one.done() else late for name, one in asked.items()}


def _ask(client: Client) -> Answer:
    began = monotonic()
    try:
        info: Any = client.info(*SECTIONS)
    except Exception as error:  # noqa: BLE001 - whatever stands at that address, the page has the other nodes
        return Answer(None, monotonic() - began, what_is_wrong(error))
    return Answer(info, monotonic() - began)


def _tell(before: Mapping[str, Answer], after: Mapping[str, Answer]) -> None:
    """Log who has gone away and who is back; what goes on is in the figures."""
    for name, one in after.items():
        was = before.get(name)
        if one.info is None and (was is None or was.info is not None):
            logger.warning("%s does not answer. %s", name, one.problem)
        elif one.info is not None and was is not None and was.info is None:
            logger.warning("%s answers again.", name)
