"""The figures of all nodes as a page for Prometheus, by prometheus_client's own server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from unstale.tools.exporter.errors import ExporterError
from unstale.tools.exporter.figures import ASK_TIME, FIGURES, UP, Figure
from unstale.tools.exporter.watch import Watch


class ServerCollector(Collector):
    """What a scrape is given. A server that is away is a figure."""

    def __init__(self, watch: Watch) -> None:
        """Take who asks."""
        self._watch = watch

    def collect(self) -> Iterator[Metric]:
        """Ask, and say."""
        families = {one: _family(one) for one in (UP, ASK_TIME, *FIGURES)}
        for node, answer in self._watch.answers().items():
            families[UP].add_metric([node], float(answer.info is not None))
            families[ASK_TIME].add_metric([node], answer.seconds)
            for figure in FIGURES if answer.info is not None else ():
                for labels, amount in figure.read(answer.info or {}):
                    families[figure].add_metric([node, *labels], amount)
        return iter(families.values())


def _family(figure: Figure) -> CounterMetricFamily | GaugeMetricFamily:
    family = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    return family(figure.name, figure.help, labels=["node", *figure.labels])


@contextmanager
def serving(watch: Watch, host: str, port: int) -> Iterator[int]:
    """A page at /metrics while the block runs.

    Args:
        watch: who asks.
        host: the address to listen at.
        port: 0 for a free one.

    Yields:
        The port.

    Raises:
        ExporterError: it cannot listen there.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ServerCollector(watch))
    try:
        started: tuple[WSGIServer, threading.Thread] = start_http_server(port, host, registry)
    except OSError as error:
        raise ExporterError(f"It cannot listen at {host}:{port}: {error.strerror or error}.") from error
    server, thread = started
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
