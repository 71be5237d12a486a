"""The load process, against a real HTTP server that keeps the lab's contract, and breaks it when told to."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from unstale.tools.lab.load import GONE, read_job, read_requests, write_job
from unstale.tools.lab.place import Job
from unstale.tools.lab.plan import Plan
from unstale.tools.lab.results import Figures, Outcome, Requests, figures
from unstale.tools.lab.schedule import ACTION, CATALOGUE, HISTORY, schedule, window

PLAN = Plan(rate=120, seconds=1.0, warm_seconds=0.25, grace_seconds=30.0, users=6, pages=2, actions=0.25)
FIRST_ORDER = 1000


@dataclass
class Site:
    """What the server is to do, and what it has seen."""

    misbehaves: str = ""
    """`old`, `broken`, `closes`, `cuts`, `hangs`, `bare`, `empty`, `encodes`; or nothing: it keeps the contract."""
    arrived: list[tuple[str, str, str]] = field(default_factory=list)
    """Method, path and token of each request."""
    newest: Counter[str] = field(default_factory=Counter)
    """By token, the newest order."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    released: threading.Event = field(default_factory=threading.Event)
    """What hangs goes on."""
    url: str = ""

    def version_of(self, method: str, token: str) -> int:
        """The newest order, after this request."""
        with self.lock:
            if method == "POST":
                self.newest[token] = FIRST_ORDER + len(self.arrived)
            return 1 if method == "GET" and self.misbehaves == "old" else self.newest[token] or 1


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def do_GET(self) -> None:
        token = self.headers["Authorization"].removeprefix("Token ")
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.site.lock:
            self.site.arrived.append((self.command, self.path, token))
        version = self.site.version_of(self.command, token)
        misbehaves = "" if self.command == "POST" else self.site.misbehaves
        getattr(self, f"when_it_{misbehaves}", self.answers)(version)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def answers(self, version: int, status: int | None = None, missing: int = 0, **headers: str) -> None:
        body = b"" if self.site.misbehaves == "empty" else json.dumps({"version": version, "id": version}).encode()
        self.send_response(status or (201 if self.command == "POST" else 200))
        self.send_header("Content-Length", str(len(body)))
        if self.site.misbehaves != "bare":
            self.send_header("X-Version", str(version))
        if self.command == "GET":
            self.send_header("X-Cache", "hit" if self.path.endswith("page=1") else "miss")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[: len(body) - missing])
        self.close_connection = True

    def when_it_broken(self, version: int) -> None:
        self.answers(version, status=500)

    def when_it_closes(self, version: int) -> None:
        self.close_connection = True

    def when_it_cuts(self, version: int) -> None:
        self.answers(version, missing=5)

    def when_it_encodes(self, version: int) -> None:
        self.answers(version, Content_Encoding="of-no-known-kind")

    def when_it_hangs(self, version: int) -> None:
        self.site.released.wait()
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Not on the tests' output."""


class Server(ThreadingHTTPServer):
    request_queue_size = 512
    daemon_threads = True


def of_the_window(asked: Requests) -> Requests:
    """Without the warm-up's, which are told by when they were due."""
    kept = [place for place, due in enumerate(asked.due) if due >= 0]
    columns = {
        name: [column[place] for place in kept]
        for name in asked.__struct_fields__
        if isinstance(column := getattr(asked, name), list)
    }
    return msgspec.structs.replace(asked, **columns)


@contextmanager
def listening() -> Iterator[Site]:
    """A site on a port of its own."""
    seen = Site()
    with Server(("127.0.0.1", 0), type("Bound", (Handler,), {"site": seen})) as server:
        seen.url = f"http://127.0.0.1:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        yield seen
        seen.released.set()
        server.shutdown()
        serving.join()


@pytest.fixture
def site() -> Iterator[Site]:
    """A site that the test may let misbehave."""
    with listening() as one:
        yield one


@dataclass
class Run:
    """What a load process did."""

    code: int
    lines: list[dict[str, Any]]
    errors: str
    requests: Requests | None
    plan: Plan

    @property
    def asked(self) -> Requests:
        assert self.requests is not None, self.errors
        return self.requests

    @property
    def figures(self) -> Figures:
        return figures(Outcome(variant="x", stands_for="", status="complete", requests=self.asked), self.plan)


@dataclass
class Loads:
    """Runs load processes against the site."""

    url: str
    folder: Path
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, plan: Plan, **options: Any) -> subprocess.Popen[str]:
        """One that begins its warm-up when it has had time to start."""
        job = Job(
            base_url=self.url,
            plan=plan,
            window_at=time.monotonic() + 0.7 + plan.warm_seconds,
            out=self.folder / "requests.json",
        )
        write_job(job, self.folder / "job.json")
        command = [sys.executable, "-m", "unstale.tools.lab.load", str(self.folder / "job.json")]
        pipe = subprocess.PIPE
        self.started.append(subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options))
        return self.started[-1]

    def finish(self, process: subprocess.Popen[str], plan: Plan, first: str = "") -> Run:
        """Wait for its end."""
        out, errors = process.communicate(timeout=60)
        lines = [json.loads(line) for line in (first + out).splitlines()]
        path = self.folder / "requests.json"
        return Run(
            process.returncode, lines, errors, of_the_window(read_requests(path)) if path.exists() else None, plan
        )

    def __call__(self, plan: Plan = PLAN, **options: Any) -> Run:
        return self.finish(self.start(plan, **options), plan)


@pytest.fixture
def load(site: Site, tmp_path: Path) -> Iterator[Loads]:
    """What runs a load process against the site; none outlives the test."""
    loads = Loads(site.url, tmp_path)
    yield loads
    for process in loads.started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> tuple[Site, Run]:
    """A site that keeps the contract, and what the load made of it."""
    with listening() as one:
        return one, Loads(one.url, tmp_path_factory.mktemp("right"))()


def arrived(site: Site, wanted: int, seconds: float = 20.0) -> int:
    """How many requests the site has seen, after it has had time to read so many."""
    until = time.monotonic() + seconds
    while len(site.arrived) < wanted and time.monotonic() < until:
        time.sleep(0.01)
    return len(site.arrived)


def answered_before(asked: Requests, place: int) -> int:
    """How many actions of a request's user had been answered when it was sent, as their times tell."""
    sent_at = asked.due[place] + (asked.sent_late[place] or 0.0)
    return sum(
        kind == ACTION and user == asked.user[place] and due + took <= sent_at
        for kind, user, due, took in zip(asked.kind, asked.user, asked.due, asked.took, strict=True)
        if took is not None
    )


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Its paths too, which JSON has no kind for."""
    job = Job(base_url="http://127.0.0.1:1", plan=PLAN, window_at=12.5, out=tmp_path / "out.json")
    write_job(job, tmp_path / "job.json")
    assert read_job(tmp_path / "job.json") == job


def test_the_site_gets_what_the_plan_says(right: tuple[Site, Run]) -> None:
    """Each request of the warm-up and the window arrives, once, with its path and its user's token."""
    site, _ = right
    paths = {ACTION: ("POST", "/api/orders/"), CATALOGUE: ("GET", "/api/products/")}
    meant = [
        (*paths.get(due.kind, ("GET", f"/api/orders/?page={due.page}")), f"token-of-user{due.user}")
        for due in schedule(PLAN)
    ]
    assert Counter(site.arrived) == Counter(meant)


def test_what_is_written_are_the_windows_requests(right: tuple[Site, Run]) -> None:
    """Due times, kinds and users are the schedule's; the warm-up is not among them."""
    asked = right[1].asked
    assert list(zip(asked.due, asked.kind, asked.user, strict=True)) == [due[:3] for due in window(PLAN)]


def test_right_answers_are_completed_and_fresh(right: tuple[Site, Run]) -> None:
    """With a site that keeps the contract nothing is wrong, missing or stale."""
    run = right[1]
    found = run.figures
    assert (run.code, run.errors, run.asked.reasons) == (0, "", {})
    assert (found.errors, found.unanswered, found.stale, set(run.asked.status)) == (0, 0, 0, {200, 201})
    assert run.asked.generator_cpu_seconds > 0


def test_hits_are_what_the_site_says(right: tuple[Site, Run]) -> None:
    """X-Cache is read from each answer; one without it is neither a hit nor a miss."""
    asked = right[1].asked
    pages = {HISTORY: lambda page: page == 1, CATALOGUE: lambda _: False, ACTION: lambda _: None}
    assert asked.hit == [pages[due.kind](due.page) for due in window(PLAN)]


def test_lines_add_up_to_what_was_offered_and_answered(right: tuple[Site, Run]) -> None:
    """Each request is in one line when it is offered, and in one when it is answered; the last tells the CPU."""
    run = right[1]
    total = Counter[str]()
    for line in run.lines:
        total.update({name: line[name] for name in ("offered", "completed", "errors", "reads", "hits")})
    reads = [due for due in schedule(PLAN) if due.kind == HISTORY]
    count = len(schedule(PLAN))
    assert (total["offered"], total["completed"], total["errors"]) == (count, count, 0)
    assert (total["reads"], total["hits"]) == (len(reads), sum(due.page == 1 for due in reads))
    assert run.lines[-1]["generator_cpu_seconds"] == run.asked.generator_cpu_seconds


def test_an_old_version_is_stale_by_the_actions_answered_before(site: Site, load: Loads) -> None:
    """A site that never invalidates is behind by every action that was answered before the read began."""
    site.misbehaves = "old"
    plan = replace(PLAN, warm_seconds=0)
    asked = load(plan).asked
    reads = [place for place, kind in enumerate(asked.kind) if kind == HISTORY]
    assert [asked.behind[place] for place in reads] == [answered_before(asked, place) for place in reads]
    assert max(asked.behind) > 3


def test_actions_of_the_warm_up_raise_the_floors(site: Site, load: Loads) -> None:
    """What was answered before the window counts too: a read is behind by more than the window's actions."""
    site.misbehaves = "old"
    plan = replace(PLAN, warm_seconds=1.0, users=1)
    asked = load(plan).asked
    last = max(place for place, kind in enumerate(asked.kind) if kind == HISTORY)
    assert asked.behind[last] > answered_before(asked, last)


def test_an_error_of_the_site_is_an_error_with_its_status(site: Site, load: Loads) -> None:
    """A 500 is kept as such, with the time that it took, and is not completed."""
    site.misbehaves = "broken"
    run = load()
    gets = sum(due.kind != ACTION for due in window(PLAN))
    assert (Counter(run.asked.status)[500], run.figures.errors, run.figures.unanswered) == (gets, gets, 0)
    assert run.asked.reasons == {"status 500": gets}


@pytest.mark.parametrize("misbehaves", ["closes", "cuts"])
def test_a_broken_connection_is_no_answer_and_is_not_tried_again(site: Site, load: Loads, misbehaves: str) -> None:
    """It has status 0 and took no time that could pass for a quick answer; the site saw each request once."""
    site.misbehaves = misbehaves
    run = load()
    gets = [place for place, kind in enumerate(run.asked.kind) if kind != ACTION]
    assert {(run.asked.status[place], run.asked.took[place]) for place in gets} == {(0, None)}
    assert sum(run.asked.reasons.values()) == len(gets)
    assert arrived(site, len(schedule(PLAN))) == len(schedule(PLAN))


@pytest.mark.parametrize(("misbehaves", "fine"), [("bare", CATALOGUE), ("empty", None)])
def test_an_answer_that_breaks_the_contract_is_an_error(
    site: Site, load: Loads, misbehaves: str, fine: int | None
) -> None:
    """Without a version or without a body, 200 is not enough: it is no answer that anyone may count."""
    site.misbehaves = misbehaves
    run = load()
    wrong = sum(due.kind != fine for due in window(PLAN))
    assert (run.figures.errors, sum(run.asked.reasons.values())) == (wrong, wrong)


def test_a_site_that_never_answers_is_offered_the_whole_load(site: Site, load: Loads) -> None:
    """The loop is open: all requests arrive though none was answered, and each is without an answer at the end."""
    site.misbehaves = "hangs"
    plan = replace(PLAN, actions=0.0, grace_seconds=0.5)
    run = load(plan)
    assert arrived(site, len(schedule(plan))) == len(schedule(plan))
    assert (run.code, set(run.asked.took), set(run.asked.status)) == (0, {None}, {0})
    assert None not in run.asked.sent_late


def test_a_site_that_does_not_listen_answers_nothing(load: Loads) -> None:
    """Refused connections are no answers, and are told in words."""
    load.url = "http://127.0.0.1:9"
    run = load()
    assert (run.figures.unanswered, run.figures.completed) == (len(window(PLAN)), 0)
    assert all("ConnectionRefusedError" in reason for reason in run.asked.reasons)


def test_what_this_machine_could_not_send_is_marked(site: Site, load: Loads) -> None:
    """When the process may have no more connections, that is not the site's fault: the rate was not offered."""
    site.misbehaves = "hangs"
    few = (64, 64)
    run = load(
        replace(PLAN, actions=0.0, grace_seconds=0.5),
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few),
    )
    assert None in run.asked.sent_late
    assert run.figures.offered_late
    assert list(run.asked.reasons) == ["not sent: Too many open files"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_what_there_is(site: Site, load: Loads, number: int, code: int) -> None:
    """Told to end in the middle, it writes the requests so far, which are a beginning of the plan's."""
    plan = replace(PLAN, seconds=30.0)
    process = load.start(plan)
    assert process.stdout is not None
    read = line = process.stdout.readline()
    while json.loads(line)["second"] < 1:
        line = process.stdout.readline()
        read += line
    process.send_signal(number)
    run = load.finish(process, plan, read)
    assert run.code == code
    assert run.asked.due == [due.at for due in window(plan)][: len(run.asked.due)]
    assert 0 < len(run.asked.due) < len(window(plan))


def test_it_ends_when_nobody_reads_its_lines(site: Site, load: Loads) -> None:
    """Its parent is gone: it stops, and leaves no file that nobody would remove."""
    process = load.start(replace(PLAN, seconds=30.0))
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == GONE
    assert sorted(path.name for path in load.folder.iterdir()) == ["job.json"]


def test_a_fault_of_its_own_ends_it_loudly(site: Site, load: Loads) -> None:
    """What nobody has thought of is neither counted as the site's nor passed over: it ends with a traceback."""
    site.misbehaves = "encodes"
    run = load()
    assert (run.code, run.requests) == (1, None)
    assert "of-no-known-kind" in run.errors
