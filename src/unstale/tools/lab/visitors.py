"""The visitors of the site: locust's user, client and statistics, and the open loop that drives them.

Only the process of `load` imports this. How a request is spelled, and what a right answer to it is, stands here;
when it is due is drawn in `schedule`, what stale means is said in `judge`, and what is counted in `tally`.

One locust user stands for all visitors. Each request has a greenlet and a connection of its own, and is sent once:
no keep-alive, since that would tie visitors to one of the site's processes while others are idle, and would make a
request fail whose connection the site closes at that moment; no second try, since that would hide the first.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Iterable
from typing import Any, ClassVar, Final

import gevent
import gevent.event
import gevent.pool
from geventhttpclient.client import HTTPClient, HTTPClientPool
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

from unstale.tools.lab import schedule
from unstale.tools.lab.judge import Judge
from unstale.tools.lab.place import Job
from unstale.tools.lab.results import KINDS, Requests
from unstale.tools.lab.schedule import ACTION, CATALOGUE, HISTORY, Due
from unstale.tools.lab.tally import Attempt, Tally

OUR_LIMITS: Final = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM}
"""Errors of this process and this machine, not of the site: the request was not sent."""
WARM_UP: Final = "warm-up"
"""What locust's statistics call requests that are not measured."""
_ORDER: Final = b'{"product": 1, "quantity": 2}'
_HEADERS: Final = {"Connection": "close", "Accept": "application/json", "Accept-Encoding": "identity"}

gevent.config.resolver = "block"  # the site's address is a literal: no thread need look it up for each connection


class _Once(HTTPClientPool):
    """Connections without end, and one try for each request."""

    def get_client(self, url: Any) -> HTTPClient:
        """The client of the site's address."""
        client = super().get_client(url)
        connections: Any = client._connection_pool  # noqa: SLF001 - it has no options for these two
        connections.size = -1  # it tries again as often as this says, plus one
        connections.return_socket = connections.release_socket  # also if the site does not say that it closes
        return client


class Visitors(FastHttpUser):
    """All visitors: what locust starts, waits for and ends."""

    max_redirects = 0
    visit: ClassVar[Visit]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.client.client.cookiejar = None  # who a visitor is says the token

    @task
    def come(self) -> None:
        """All of them, once."""
        self.visit.all_requests(self.client)
        raise StopUser

    def on_stop(self) -> None:
        """Nobody waits any longer."""
        self.visit.under_way.kill()


class Visit:
    """One variant's requests, from the first of the warm-up to the end of the grace."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tally = Tally()
        self.judge = Judge()
        self.under_way = gevent.pool.Group()
        self.environment = Environment(user_classes=[Visitors], host=job.base_url)
        self.environment.events.request.add_listener(self._ended)  # type: ignore[no-untyped-call]
        self.environment.events.user_error.add_listener(self._failed_to_offer)  # type: ignore[no-untyped-call]
        self.runner = self.environment.create_local_runner()
        self._over = gevent.event.AsyncResult()
        self._cpu_at_window: float | None = None
        self.cpu_seconds = 0.0
        """Of this process, from the window's beginning to the end."""

    def begin(self) -> None:
        """Let locust start the visitors."""
        plan = self.job.plan
        most = 1 + round(plan.rate * (plan.warm_seconds + plan.seconds))
        Visitors.visit = self
        Visitors.client_pool = _Once(concurrency=most, network_timeout=None, connection_timeout=None)  # `end` cuts them
        self.runner.start(user_count=1, spawn_rate=1)

    def ends_on(self, number: int, code: int) -> None:
        """Let a signal end it.

        Args:
            number: the signal's.
            code: what `wait_until` then gives.
        """
        gevent.signal_handler(number, self._over.set, code)

    def wait_until(self, moment: float) -> int | None:
        """Let it go on.

        Args:
            moment: of the monotonic clock.

        Returns:
            None: it goes on. Else the exit code: 0 if all has been sent, and answered or waited for.

        Raises:
            Exception: whatever went wrong in this process itself.
        """
        self._over.wait(timeout=max(0.0, moment - time.monotonic()))
        return self._over.get(block=False) if self._over.ready() else None

    def end(self) -> None:
        """Cut what has no answer yet."""
        if self._cpu_at_window is not None:
            self.cpu_seconds = time.process_time() - self._cpu_at_window
        self.runner.quit()

    def requests(self) -> Requests:
        """What is to be written."""
        requests = self.tally.requests()
        requests.generator_cpu_seconds = self.cpu_seconds
        for one in self.environment.stats.errors.values():
            if one.name != WARM_UP:
                requests.reasons[str(one.error)] = requests.reasons.get(str(one.error), 0) + one.occurrences
        return requests

    def all_requests(self, client: Any) -> None:
        """Send each at its time, whatever became of those before (the open loop), then wait for the last answers."""
        plan = self.job.plan
        self._send_all(client, schedule.warm_up(plan))
        self._sleep_until(0.0)
        self._cpu_at_window = time.process_time()
        self._send_all(client, schedule.window(plan))
        self._sleep_until(plan.seconds)
        self.under_way.join(timeout=max(0.0, plan.seconds + plan.grace_seconds - self._now()))
        self._over.set(0)

    def _send_all(self, client: Any, requests: Iterable[Due]) -> None:
        for due in requests:
            self._sleep_until(due.at)
            attempt = self.tally.offered(due)
            self.under_way.spawn(self._send, client, attempt).link_exception(self._failed)

    def _sleep_until(self, at: float) -> None:
        gevent.sleep(max(0.0, at - self._now()))  # 0 too: those that are late must not keep answers from being read
        while (left := at - self._now()) > 0:
            gevent.sleep(left)

    def _now(self) -> float:
        return time.monotonic() - self.job.window_at

    def _failed(self, greenlet: gevent.Greenlet) -> None:
        self._over.set_exception(greenlet.exception)

    def _send(self, client: Any, attempt: Attempt) -> None:
        due = attempt.due
        attempt.sent_late = self._now() - due.at
        floor = self.judge.began(due.user)
        method, path, status, body = _spelled(due)
        headers = {**_HEADERS, "Authorization": f"Token token-of-user{due.user}"}
        if body:
            headers["Content-Type"] = "application/json"
        name = KINDS[due.kind] if due.at >= 0 else WARM_UP
        with client.request(
            method, path, name=name, data=body, headers=headers, catch_response=True, context={"attempt": attempt}
        ) as response:
            if self._over.ready():
                raise gevent.GreenletExit  # it came while the last ones are being cut: after the end
            wrong = self._broken(attempt, response) or self._judged(attempt, response, status, floor)
            response.request_meta["response_time"] = 1000 * (self._now() - due.at)  # also in locust's: since it was due
            response.success() if wrong is None else response.failure(wrong)

    def _broken(self, attempt: Attempt, response: Any) -> str | None:
        """Why there is no answer, if there is none."""
        error = response.request_meta["exception"]
        if response.status_code != 0 and (error is None or getattr(response, "error", None) is error):
            return None
        if isinstance(error, OSError) and error.errno in OUR_LIMITS:
            attempt.sent_late = None
            return f"not sent: {error.strerror}"
        return f"{type(error).__name__}: {error}"

    def _judged(self, attempt: Attempt, response: Any, expected: int, floor: int) -> str | None:
        """Note what came. Returns what is wrong with it, if anything."""
        due = attempt.due
        attempt.took = self._now() - due.at
        if response.status_code not in {200, 201}:
            attempt.status = response.status_code
            return f"status {response.status_code}"
        if response.status_code != expected or not response.content:
            return f"status {response.status_code} with {len(response.content)} bytes, where {expected} was meant"
        version = response.headers.get("X-Version", "")
        if due.kind != CATALOGUE and not version.isdecimal():
            return "no X-Version"
        attempt.status = response.status_code
        attempt.hit = {"hit": True, "miss": False}.get(response.headers.get("X-Cache"))
        if due.kind == ACTION:
            self.judge.answered(due.user, int(version))
        if due.kind == HISTORY:
            attempt.behind = self.judge.behind(due.user, int(version), floor)
        return None

    def _failed_to_offer(self, exception: Exception, **_: Any) -> None:
        self._over.set_exception(exception)

    def _ended(self, context: dict[str, Any], **_: Any) -> None:
        self.tally.ended(context["attempt"])


def _spelled(due: Due) -> tuple[str, str, int, bytes | None]:
    """Method, path, expected status and body."""
    if due.kind == ACTION:
        return "POST", "/api/orders/", 201, _ORDER
    if due.kind == CATALOGUE:
        return "GET", "/api/products/", 200, None
    return "GET", f"/api/orders/?page={due.page}", 200, None
