"""gunicorn's side of it."""

from prometheus_client import multiprocess


def child_exit(server, worker):
    """A worker has ended: its open breakers are no more."""
    multiprocess.mark_process_dead(worker.pid)
