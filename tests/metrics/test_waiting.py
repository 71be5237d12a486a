"""What waits in queue files, looked up when somebody asks."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from servers import Server

from unstale import Cache
from unstale.contrib.prometheus import hook, page_registry
from unstale.contrib.waiting import queues
from unstale.events import Queued


def test_a_queue_that_fills_and_empties(own_server: Server, tmp_path: Path) -> None:
    """Nothing waits, then something does, then nothing: on the page and by the events."""
    path, registry = tmp_path / "of-the-shop", CollectorRegistry()
    page = page_registry(queues(path), registry=registry)

    def size() -> float | None:
        return page.get_sample_value("unstale_queue_size_bytes", {"queue": "of-the-shop"})

    assert size() == 0
    options = {"timeout": 0.2, "invalidate_timeout": 0.5}
    with Cache.from_url(own_server.url, queue=path, on_event=hook("shop", registry=registry), **options) as cache:
        cache.set("k", 1, tags=["user:1"])
        own_server.kill()
        assert isinstance(cache.invalidate("user:1"), Queued)
        waiting = size()
        own_server.start()
        cache.drain()
    assert waiting is not None
    assert waiting > size() == 0
    assert page.get_sample_value("unstale_queued_total", {"cache": "shop", "kind": "user"}) == 1
    assert page.get_sample_value("unstale_drained_total", {"cache": "shop"}) == 1


def test_what_cannot_be_looked_at(tmp_path: Path) -> None:
    """It has no figure, and the others have theirs."""
    file = tmp_path / "file"
    file.write_bytes(b"12345")
    found = {one.labels: one.amount for one in queues(file / "below-a-file", file, file)()}
    assert found == {("file",): 5}


def test_a_page_without_samplers() -> None:
    """It is the registry's."""
    registry = CollectorRegistry()
    hook("shop", registry=registry)
    text = generate_latest(page_registry(registry=registry)).decode()
    assert 'unstale_hits_total{cache="shop"} 0.0' in text
    assert "unstale_queue_size" not in text
    assert "unstale_outbox" not in text


def test_several_hooks_of_one_registry() -> None:
    """A name is registered once; the caches are told apart."""
    registry = CollectorRegistry()
    for cache in ("one", "two"):
        hook(cache, registry=registry)
    for cache in ("one", "two"):
        assert registry.get_sample_value("unstale_hits_total", {"cache": cache}) == 0
