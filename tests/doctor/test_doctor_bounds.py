"""However a server behaves, an examination ends: time limits of whole answers, not of single reads."""

from __future__ import annotations

import math
import threading
import time

import pytest
import redis
from babblers import Answer, always, babbler, mute, trickle

from unstale.tools.places import Manner, NobodyTellsError, Origin, connect, hung_up_at

PATIENT = Manner(None, 1.0, 60.0)
"""No answer is late for these connections."""
BABBLE = {"a long string": trickle(b"$100000\r\n"), "an endless line": trickle(b"+"), "nothing": mute}


@pytest.mark.parametrize("answer", BABBLE.values(), ids=BABBLE)
def test_whoever_takes_too_long_is_hung_up_on(answer: Answer) -> None:
    """Also who sends a byte now and then; and again, if asked again."""
    with babbler(answer) as port:
        (place,) = Origin(f"redis://127.0.0.1:{port}/0", PATIENT).places()
        with connect(place, PATIENT) as client, hung_up_at(client, time.monotonic() + 0.3) as late:
            for _ in range(2):
                with pytest.raises(redis.ConnectionError):
                    client.ping()
            assert late.is_set()


def test_who_is_to_stop_hangs_up_soon() -> None:
    """Whatever time there would be."""
    stop = threading.Event()
    stop.set()
    with babbler(mute) as port:
        (place,) = Origin(f"redis://127.0.0.1:{port}/0", PATIENT).places()
        with connect(place, PATIENT) as client, hung_up_at(client, math.inf, stop), pytest.raises(redis.RedisError):
            client.ping()


def test_nobody_is_hung_up_on_before_time() -> None:
    """An answer that comes late is waited for."""
    with babbler(always(b"+OK\r\n", after=0.3)) as port:
        (place,) = Origin(f"redis://127.0.0.1:{port}/0", PATIENT).places()
        with connect(place, PATIENT) as client, hung_up_at(client, math.inf, threading.Event()) as late:
            assert client.execute_command("GET", "a") == b"OK"
        assert not late.is_set()


@pytest.mark.parametrize("answer", BABBLE.values(), ids=BABBLE)
@pytest.mark.parametrize("url", ["redis+sentinel://127.0.0.1:{}/shop", "redis+cluster://127.0.0.1:{}"])
def test_who_is_asked_for_the_others_may_babble(answer: Answer, url: str) -> None:
    """Then nobody tells, which is said."""
    with babbler(answer) as port, pytest.raises(NobodyTellsError, match=r"did not answer in time|Timeout"):
        Origin(url.format(port), Manner(None, 0.5, 0.5)).places()
