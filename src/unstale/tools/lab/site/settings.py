"""The shop's settings, with the caches of one variant; `environment` says which."""

from shop.settings import *  # noqa: F403 - a project's settings on top of another's
from shop.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

from unstale.tools.lab.site.backends import caches_of
from unstale.tools.lab.site.environment import told

TOLD = told()

ROOT_URLCONF = "unstale.tools.lab.site.urls"
WSGI_APPLICATION = "unstale.tools.lab.site.wsgi.application"
INSTALLED_APPS = ["unstale.tools.lab.site.apps.ShopConfig" if name == "shop" else name for name in INSTALLED_APPS]
MIDDLEWARE = [*MIDDLEWARE, "unstale.tools.lab.site.middleware.read_features"]
CACHES = caches_of(TOLD)
DJANGO_REDIS_SCAN_ITERSIZE = TOLD.itersize
# A file that is opened anew for each request is noise in what is measured.
DATABASES["default"].setdefault("CONN_MAX_AGE", 600)

CELERY_BROKER_URL = TOLD.broker_url
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
