"""A small load for one view, in a process of its own: `python -m bench.django_load --port 8000`. Prints JSON.

Some threads ask one request after the other, each on a new connection, which is what gunicorn's default worker closes
after its answer. Every answer is looked at: another status than 200 ends the run.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
import time

HOST = "127.0.0.1"


def request_for(user: int) -> bytes:
    """The request of a user's orders."""
    lines = ("GET /api/orders/ HTTP/1.1", f"Host: {HOST}", f"Authorization: Token token-of-user{user}")
    return "\r\n".join((*lines, "Connection: close", "", "")).encode()


def ask(port: int, request: bytes) -> tuple[dict[bytes, bytes], bytes]:
    """One request on a new connection: headers in lower case, and the body. Raises RuntimeError if it is not 200."""
    with socket.create_connection((HOST, port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(request)
        answer = b"".join(iter(lambda: sock.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    if b" 200 " not in status:
        raise RuntimeError(f"{status!r}: {body[:300]!r}")
    return {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}, body


class Load:
    """What was asked and how long each answer took, in seconds."""

    def __init__(self, port: int, users: int, seconds: float) -> None:
        """Prepare the requests."""
        self._port = port
        self._requests = [request_for(user) for user in range(users)]
        self._seconds = seconds
        self.took: list[float] = []
        self.hits = 0
        self.errors: list[str] = []

    def run(self, at_once: int) -> float:
        """Ask with so many threads; the seconds it took."""
        begun = time.perf_counter()
        threads = [threading.Thread(target=self._ask_on, args=(number, begun)) for number in range(at_once)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - begun

    def _ask_on(self, number: int, begun: float) -> None:
        turn = number * len(self._requests) // 2
        try:
            while (asked := time.perf_counter()) < begun + self._seconds and not self.errors:
                headers, _ = ask(self._port, self._requests[turn % len(self._requests)])
                self.took.append(time.perf_counter() - asked)
                self.hits += headers.get(b"x-cache") == b"hit"
                turn += 1
        except (OSError, RuntimeError) as error:
            self.errors.append(repr(error))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--at-once", type=int, default=2)
    options = parser.parse_args()
    load = Load(options.port, options.users, options.seconds)
    elapsed = load.run(options.at_once)
    print(json.dumps({"elapsed": elapsed, "took": load.took, "hits": load.hits, "errors": load.errors}))


if __name__ == "__main__":
    main()
