"""One server, followed: a window, then a look at its stamps, and so on. It goes on while the server is away.

Each window is the doctor's: nothing is asked in it. So of what following itself sends only INFO is in the figures.
A server that is not done in time, whatever it sends, is away.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Final, Self

import redis

from unstale.errors import UnstaleError
from unstale.tools.doctor.costs import engine_of
from unstale.tools.doctor.errors import DoctorError
from unstale.tools.doctor.facts import Asker
from unstale.tools.doctor.gate import Gate
from unstale.tools.doctor.pace import Pace
from unstale.tools.doctor.results import Engine
from unstale.tools.doctor.sampling import Sampler
from unstale.tools.doctor.watching import OWN_TRIPS, watch
from unstale.tools.places import NO_ANSWER, Place, connect, hung_up_at, what_is_wrong
from unstale.tools.programs import name_of
from unstale.tools.top.tags import Hot, Watch

SAMPLE_SECONDS: Final = 1.0
"""How long a sample of the keyspace may take."""
SAMPLE_EVERY: Final = 30.0
"""Seconds from one to the next."""
SAMPLE_SHARE: Final = 0.005
"""Of the engine's time meanwhile."""
ANSWER_SECONDS: Final = 5.0
ROUND_SECONDS: Final = 15.0
"""What all answers of a window and a sample may take together, besides the window itself."""
NO_BOUND: Final = 10**15
"""Commands: it runs until it is ended."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What one window showed of a server."""

    name: str
    about: str = ""
    """Kind and version."""
    trouble: str = ""
    """Why there is nothing to show; empty: there is."""
    engine: Engine | None = None
    keys: int = 0
    memory_bytes: int = 0
    changes_per_second: float = 0.0
    """Stamps that were seen to change."""
    watched: int = 0
    """Stamps that are watched."""
    tags: list[Hot] = field(default_factory=list)


class FollowError(UnstaleError):
    """A server is not followed any more. The message says why."""


class Follower:
    """Follows a server in a thread. Use as a context manager."""

    def __init__(self, place: Place, interval: float) -> None:
        """Begin nothing yet.

        Args:
            place: the server.
            interval: seconds of a window.
        """
        self._place = place
        self._interval = interval
        self._over = threading.Event()
        self._frame = Frame(place.name, trouble="Waiting for the first figures.")
        self._failure: BaseException | None = None
        self._greeted = False
        self._sample_at = 0.0
        self._thread = threading.Thread(target=self._run, name=f"top-{place.name}", daemon=True)
        self.count = 0
        """Frames so far."""
        self.has_answered = False
        """Whether one of them had figures."""

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, or leave it to end when a late answer has come."""
        self._over.set()
        self._thread.join(self._interval)

    @property
    def frame(self) -> Frame:
        """The last one.

        Raises:
            FollowError: something that was not foreseen has ended the thread.
        """
        if self._failure is not None:
            what = f"{type(self._failure).__name__}: {self._failure}"
            raise FollowError(f"{self._place.name} is not followed any more ({what}).") from self._failure
        return self._frame

    def _run(self) -> None:
        try:
            with connect(self._place, Gate(NO_BOUND).manner(ANSWER_SECONDS)) as client:
                self._follow(client)
        except BaseException as error:  # noqa: BLE001 - raised where it is seen: `frame`
            self._failure = error

    def _follow(self, client: redis.Redis) -> None:
        asker = Asker(client)
        stamps = Watch(in_cluster=self._place.in_cluster)
        while not self._over.is_set():
            until = time.monotonic() + self._interval + ROUND_SECONDS
            with hung_up_at(client, until, self._over) as late:
                try:
                    self._show(self._round(asker, stamps))
                except (*NO_ANSWER, DoctorError) as error:
                    self._greeted = False
                    wrong = redis.TimeoutError() if late.is_set() else error
                    self._show(Frame(self._place.name, trouble=what_is_wrong(wrong)))
            if not self._greeted:
                self._over.wait(self._interval)

    def _round(self, asker: Asker, stamps: Watch) -> Frame:
        """A sample, if it is time for one, and a window."""
        if not self._greeted:
            asker.greet()
            if self._place.in_cluster:
                asker.ask("READONLY")  # a replica in a cluster shows its keys to none else
            self._greeted = True
        if time.monotonic() >= self._sample_at:
            stamps.choose(self._sampler(asker).sample())
            self._sample_at = time.monotonic() + SAMPLE_EVERY
        return self._seen(asker, stamps)

    def _show(self, frame: Frame) -> None:
        self._frame = frame
        self.has_answered = self.has_answered or frame.engine is not None
        self.count += 1

    def _sampler(self, asker: Asker) -> Sampler:
        pace = Pace(asker, SAMPLE_SHARE, self._over)
        return Sampler(asker, self._place, pace, time.monotonic() + SAMPLE_SECONDS, self._over)

    def _seen(self, asker: Asker, stamps: Watch) -> Frame:
        """A window, and the stamps at its end."""
        began = time.monotonic()
        watched = watch(asker, self._place.database, self._interval, self._over)
        changes = stamps.look(asker)
        return Frame(
            name=self._place.name,
            about=name_of(asker.info("server")),
            engine=engine_of(watched.work, own_trips=OWN_TRIPS, beside=watched.beside),
            keys=watched.keys,
            memory_bytes=int(asker.info("memory").get("used_memory", 0)),
            changes_per_second=changes / (time.monotonic() - began),
            watched=stamps.count,
            tags=stamps.hottest(),
        )
