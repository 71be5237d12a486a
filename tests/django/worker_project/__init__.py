"""A project whose workers load and invalidate in another process's place: settings, a Celery app, functions."""
