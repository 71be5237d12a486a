"""The lab's course: one variant after another, each from an empty server to its outcome.

It starts, waits and ends what the other modules are; it measures nothing itself, and prints nothing: whoever calls it
is told by a `Watcher`. After each variant the results are written, so that a run that was stopped can be resumed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

import msgspec

from unstale.errors import UnstaleError
from unstale.stores.addresses import shown
from unstale.tools.lab import results as written
from unstale.tools.lab.databases import check_database, database
from unstale.tools.lab.errors import LabError
from unstale.tools.lab.generator import generating, requests_of
from unstale.tools.lab.keyspace import fill, leave_as_found
from unstale.tools.lab.node import Node
from unstale.tools.lab.place import Job, Place
from unstale.tools.lab.plan import PREFIX, Plan, Variant, variants_of
from unstale.tools.lab.preconditions import applies, check
from unstale.tools.lab.results import Outcome, Results, Sample
from unstale.tools.lab.sampling import Sampler, idle_percent
from unstale.tools.lab.servers import extra_node, is_users_own, serving_cache
from unstale.tools.lab.tally import Second
from unstale.tools.lab.workers import Site, serving
from unstale.tools.surroundings import machine, versions

RESULTS_FILE: Final = "results.json"
IDLE_SECONDS: Final = 1.5
"""How long the engine is looked at before there is any load."""
HEAD_START_SECONDS: Final = 3.0
"""For the load process to import locust and make its connections, before the warm-up."""


class Watcher(Protocol):
    """Who is told what happens, as it happens."""

    def phase(self, variant: Variant, what: str, part: float | None = None) -> None:
        """A part of a variant begins, or goes on: `part` of it is done, from 0 to 1."""

    def second(self, variant: Variant, second: Second) -> None:
        """A second of the load has passed."""

    def sample(self, variant: Variant, sample: Sample) -> None:
        """The server was looked at."""

    def ended(self, outcome: Outcome, plan: Plan) -> None:
        """A variant has ended, in whatever way."""


class InterruptedLabError(LabError):
    """The lab was stopped. What was measured is kept: go on with --resume."""


def run(
    plan: Plan, directory: Path, watch: Watcher, *, database_url: str | None = None, resume: bool = False
) -> Results:
    """Run the plan's variants, one after another, and write `results.json` after each.

    Args:
        plan: what to run.
        directory: where the results go; it is made.
        watch: is told what happens.
        database_url: of PostgreSQL, see `databases`; None: an SQLite file for each variant.
        resume: go on with the results that are there: what is complete is not run again.

    Raises:
        InterruptedLabError: Ctrl-C. What was measured until then is written.
        ConfigurationError, LabError: it cannot be run as asked, found out before anything was started.
    """
    results = _begin(plan, directory, resume=resume)
    check(plan)
    check_database(plan, database_url)
    directory.mkdir(parents=True, exist_ok=True)
    for variant in plan.chosen():
        known = results.outcome(variant.name)
        if known is not None and known.status == "complete":
            continue
        outcome = _Course(variant, plan, database_url, directory / "logs" / variant.name, watch).run()
        _keep(results, outcome)
        written.write(results, directory / RESULTS_FILE)
        watch.ended(outcome, plan)
        if outcome.status == "interrupted":
            raise InterruptedLabError
    return results


def _begin(plan: Plan, directory: Path, *, resume: bool) -> Results:
    path = directory / RESULTS_FILE
    if resume:
        found, kept = written.read(path), _kept(plan)
        if differing := [name for name in plan.__struct_fields__ if getattr(kept, name) != getattr(found.plan, name)]:
            raise LabError(f"{path} was run with another plan, which differs in: {', '.join(differing)}.")
        variants_of(found.plan.variants)
        return found
    if path.exists():
        raise LabError(f"{path} is there already. Go on with it by --resume, or name another folder by --out.")
    return Results(plan=_kept(plan), versions=versions(), machine=machine())


def _kept(plan: Plan) -> Plan:
    """The plan as it is written down: without the password of the user's own server."""
    return msgspec.structs.replace(plan, server=shown(plan.server)) if is_users_own(plan) else plan


def _keep(results: Results, outcome: Outcome) -> None:
    """Put an outcome in its place in the story."""
    by_name = {one.variant: one for one in (*results.outcomes, outcome)}
    results.outcomes = [by_name[name] for name in results.plan.variants if name in by_name]
    if outcome.server:
        results.versions["server"] = outcome.server


class _Course:
    """The course of one variant."""

    def __init__(self, variant: Variant, plan: Plan, database_url: str | None, logs: Path, watch: Watcher) -> None:
        self._variant = variant
        self._plan = plan
        self._database_url = database_url
        self._logs = logs
        self._watch = watch
        self._second: Node | None = None
        self._told = 0
        self._outcome = Outcome(
            variant=variant.name,
            stands_for=variant.stands_for,
            status="interrupted",
            begun_at=datetime.now(UTC).isoformat(timespec="seconds"),
        )

    def run(self) -> Outcome:
        """From an empty server to the outcome; whatever was started has ended then."""
        outcome = self._outcome
        if reason := applies(self._plan, self._variant):
            outcome.status, outcome.reason = "skipped", reason
            return outcome
        try:
            with _scratch(self._logs) as scratch, ExitStack() as stack:
                self._measure(scratch, stack)
            outcome.status = "complete"
            shutil.rmtree(self._logs, ignore_errors=True)  # of a try before this one
        except KeyboardInterrupt:
            outcome.reason = "stopped from outside"
        except (UnstaleError, OSError) as error:
            outcome.status, outcome.reason = "failed", str(error)
        except Exception as error:  # noqa: BLE001 - a fault of the lab's own must not lose the steps before it
            outcome.status, outcome.reason = "failed", f"{type(error).__name__}: {error}. Where: {self._logs}/lab.log"
            self._logs.mkdir(parents=True, exist_ok=True)
            (self._logs / "lab.log").write_text("".join(traceback.format_exception(error)))
        return outcome

    def _measure(self, scratch: Path, stack: ExitStack) -> None:
        self._phase("server")
        place, node = self._start_servers(scratch, stack)
        self._outcome.server = node.name
        stack.callback(leave_as_found, node, place.prefix)
        self._phase("keyspace", 0.0)
        self._outcome.keys = fill(node, self._plan, place.prefix, told=self._filled)
        self._phase("site")
        site = stack.enter_context(serving(self._variant, self._plan, place))
        self._phase("idle")
        self._outcome.idle_percent = idle_percent(node, IDLE_SECONDS)
        self._load(site, node, scratch)

    def _filled(self, keys: int) -> None:
        self._phase("keyspace", keys / self._plan.keys)

    def _phase(self, what: str, part: float | None = None) -> None:
        self._watch.phase(self._variant, what, part)

    def _start_servers(self, scratch: Path, stack: ExitStack) -> tuple[Place, Node]:
        node = stack.enter_context(serving_cache(self._plan, self._variant, scratch))
        config = broker = None
        if self._variant.second_node:
            config = stack.enter_context(extra_node(self._plan, scratch, "second-node"))
        if self._variant.caching == "async-deletes":
            broker = stack.enter_context(extra_node(self._plan, scratch, "broker"))
        place = Place(
            cache_url=node.url,
            config_url=config.url if config else node.url,
            broker_url=broker.url if broker else None,
            prefix=f"{PREFIX}{os.urandom(3).hex()}",
            directory=scratch,
            database_url=stack.enter_context(database(self._database_url, scratch)),
        )
        self._second = config
        return place, node

    def _load(self, site: Site, node: Node, scratch: Path) -> None:
        """Warm-up, window and grace: the load runs by itself, while the server is looked at."""
        plan, outcome = self._plan, self._outcome
        window_at = time.monotonic() + HEAD_START_SECONDS + plan.warm_seconds
        job = Job(base_url=site.base_url, plan=_kept(plan), window_at=window_at, out=scratch / "requests.json")
        self._phase("load")
        looked = Sampler(node, window_at=window_at, seconds=plan.seconds)
        second = self._second and Sampler(self._second, window_at=window_at, seconds=plan.seconds)
        try:
            with looked, second or nullcontext(), generating(job, scratch) as generator:
                generator.watch(lambda: self._checked(site, looked), self._said)
        finally:  # a sampler has its last look only once it has been left: on a busy server that comes late
            outcome.requests = requests_of(job)
            outcome.samples = looked.samples
            outcome.second_node = second.samples if second else []

    def _checked(self, site: Site, looked: Sampler) -> None:
        """See that all lives, and tell of the samples that are new."""
        site.check()
        looked.check()
        for sample in looked.samples[self._told :]:
            self._watch.sample(self._variant, sample)
            self._told += 1

    def _said(self, second: Second) -> None:
        self._watch.second(self._variant, second)


@contextmanager
def _scratch(logs: Path) -> Iterator[Path]:
    """A folder for one variant. Its logs are kept where something went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="unstale-lab-"))
    try:
        yield folder
    except BaseException:
        logs.mkdir(parents=True, exist_ok=True)
        for log in folder.rglob("*.log"):
            shutil.copy(log, logs)
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
