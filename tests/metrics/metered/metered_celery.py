"""A Celery app whose worker's children are counted together, as docs/metrics.md says."""

import os

from celery import Celery
from celery.signals import worker_process_shutdown, worker_ready
from prometheus_client import multiprocess, start_http_server

from unstale import Cache
from unstale.contrib.prometheus import hook, page_registry

app = Celery("metered", broker=os.environ["METERED_BROKER"], backend=os.environ["METERED_BROKER"])
app.conf.broker_connection_retry_on_startup = True
cache = Cache.from_url(os.environ["METERED_CACHE"], namespace="metered", on_event=hook("tasks"), timeout=5)


@worker_ready.connect
def serve_metrics(**_):
    """In the worker's first process, which does no tasks itself."""
    start_http_server(int(os.environ["METERED_PORT"]), "127.0.0.1", page_registry())


@worker_process_shutdown.connect
def forget(pid, **_):
    """In a child that ends."""
    multiprocess.mark_process_dead(pid)


@app.task
def read(user):
    """One read of the cache; which process did it."""
    cache.get_or_set(f"orders:{user}", lambda: user, tags=[f"user:{user}"])
    return os.getpid()
