"""Servers that are none: they take connections and say what a test gives them, all at once or in drops."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

DROP_SECONDS = 0.1
Answer = Callable[[socket.socket, threading.Event], None]
"""Talks to one client, until its connection ends or the event is set."""


def trickle(start: bytes, drop: bytes = b"x") -> Answer:
    """An answer that begins so, and never ends: a little more, again and again."""

    def answer(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(1)
        connection.sendall(start)
        while not over.wait(DROP_SECONDS):
            connection.sendall(drop)

    return answer


def always(reply: bytes, after: float = 0.0) -> Answer:
    """The same to each command, of whatever words, after so many seconds."""

    def answer(connection: socket.socket, over: threading.Event) -> None:
        with connection.makefile("rb") as told:
            while words := told.readline():
                for _ in range(int(words[1:])):
                    told.read(int(told.readline()[1:]) + 2)
                over.wait(after)
                connection.sendall(reply)

    return answer


def mute(connection: socket.socket, over: threading.Event) -> None:
    """Nothing, ever."""
    del connection
    over.wait()


@contextmanager
def babbler(answer: Answer) -> Iterator[int]:
    """Such a server; gives its port."""
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            answer(connection, over)

    def take() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=talk, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=take, daemon=True).start()
        try:
            yield listening.getsockname()[1]
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
