"""The Celery app of the worker, as Celery's manual has it for Django."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "worker_project.settings")

app = Celery("worker_project")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
