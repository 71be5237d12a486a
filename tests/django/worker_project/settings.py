"""Settings of the worker; what the tests choose comes by the environment."""

import json
import os

SECRET_KEY = os.environ["WORKER_SECRET_KEY"]
USE_TZ = True
INSTALLED_APPS = ["unstale.contrib.django"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["WORKER_DATABASE"]}}
CACHES = json.loads(os.environ["WORKER_CACHES"])
CELERY_BROKER_URL = os.environ["WORKER_BROKER"]
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
