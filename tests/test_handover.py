"""Loads that a runner leaves to another process: done there, once, and stored only if nothing was invalidated since."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from test_soft import HOUR, A, World, fail, fill, refill

from unstale import remembering
from unstale.cache import Job, take_over
from unstale.core.ports import Handover
from unstale.errors import EncodeError


class Queue(list[Job]):
    """A runner that keeps its jobs."""

    def __call__(self, job: Job) -> None:
        self.append(job)

    def leave(self) -> Handover:
        """What the next one's other process is sent."""
        return self.pop(0).leave()


@pytest.fixture
def queue() -> Queue:
    """A runner."""
    return Queue()


@pytest.fixture
def world(queue: Queue) -> Iterator[World]:
    """A world with that runner, and a soft-stale entry k."""
    with remembering():
        made = World(stale_ttl=60, runner=queue)
        fill(made.cache)
        made.cache.invalidate("a", soft=True)
        yield made


def do(world: World, left: Handover, load: Callable[[], Any] = lambda: "new") -> bool:
    """The other process's part."""
    return take_over(world.another(), "k", left, load, tags=A)


def test_another_process_does_it(world: World, queue: Queue) -> None:
    """The reader is served what is there; the value of the other process is the next one's."""
    assert refill(world.cache) == "old"
    assert do(world, queue.leave())
    assert world.cache.get("k", tags=A) == "new"


def test_a_job_tells_its_loader(world: World, queue: Queue) -> None:
    """So a runner can look whether it may travel."""
    load = world.slow(1, "new")
    refill(world.cache, load)
    assert queue[0].loader is load


def test_an_invalidation_during_the_load(world: World, queue: Queue) -> None:
    """What was loaded before it is not stored."""
    refill(world.cache)

    def load() -> str:
        world.cache.invalidate("a")
        return "old by now"

    assert do(world, queue.leave(), load)
    assert world.cache.get("k", tags=A) is None


def test_an_invalidation_before_the_load(world: World, queue: Queue) -> None:
    """The stamps are those that stand when the load begins, so its value is kept."""
    refill(world.cache)
    world.cache.invalidate("a")
    assert do(world, queue.leave())
    assert world.cache.get("k", tags=A) == "new"


def test_a_queue_that_is_slower_than_the_lease(world: World, queue: Queue) -> None:
    """The lease is taken anew."""
    refill(world.cache)
    world.wait(30)
    assert do(world, queue.leave())
    assert world.cache.get("k", tags=A) == "new"


def test_somebody_has_filled_it_since(world: World, queue: Queue) -> None:
    """Then nothing is loaded."""
    refill(world.cache)
    left = queue.leave()
    world.cache.refresh("k", lambda: "newer", tags=A)
    assert not do(world, left, fail)
    assert world.cache.get("k", tags=A) == "newer"


def test_somebody_else_loads_it(world: World, queue: Queue) -> None:
    """Who got the lease when it had run out keeps it."""
    refill(world.cache)
    late = queue.leave()
    world.wait(30)
    refill(world.another())
    assert not do(world, late, fail)
    assert do(world, queue.leave())


def test_a_value_that_is_due_early(queue: Queue) -> None:
    """That it is still fresh is no reason not to load it."""
    with remembering():
        world = World(beta=1, runner=queue)
        world.cache.get_or_set("k", world.slow(1, "old"), tags=A, ttl=HOUR)
        world.wait(HOUR - 1)
        world.drawn = 1e-9
        assert world.cache.get_or_set("k", fail, tags=A, ttl=HOUR) == "old"
        assert do(world, queue.leave())
        world.drawn = 1.0
        assert world.cache.get("k", tags=A) == "new"


def test_the_other_process_never_does_it(world: World, queue: Queue) -> None:
    """When the lease has run out, the next reader of this same process has it done again."""
    refill(world.cache)
    queue.leave()
    assert refill(world.cache) == "old"
    assert queue == []
    world.wait(30)
    assert refill(world.cache) == "old"
    assert do(world, queue.leave())


def test_a_load_that_fails(world: World, queue: Queue) -> None:
    """It raises there, stores nothing, and gives its lease back."""
    refill(world.cache)
    with pytest.raises(OSError, match="secret"):
        do(world, queue.leave(), fail)
    assert refill(world.cache) == "old"
    assert do(world, queue.leave())


def test_a_value_that_cannot_be_encoded(world: World, queue: Queue) -> None:
    """It raises there."""
    refill(world.cache)
    with pytest.raises(EncodeError):
        do(world, queue.leave(), object)


def test_nobody_inherits_it(world: World, queue: Queue) -> None:
    """A loader around it does not come to depend on what it does for somebody else."""
    refill(world.cache)
    other = world.another()

    def around() -> str:
        take_over(other, "k", queue.leave(), lambda: "new", tags=A)
        return "apart"

    other.get_or_set("around", around, tags=["b"])
    world.cache.invalidate("a")
    assert other.get("around", tags=["b"]) == "apart"
