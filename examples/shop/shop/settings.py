"""The shop's settings.

SHOP_DATABASE   postgres://user:password@host:port/name, or sqlite:///a/file; by default SQLite in a temporary folder
SHOP_CACHE      a cache's URL; by default an embedded server that all the workers share
SHOP_HOME       the folder for both; `make shop` names one for each checkout
"""

import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

HERE = Path(os.environ.get("SHOP_HOME") or Path(tempfile.gettempdir(), "unstale-shop-django"))
HERE.mkdir(parents=True, exist_ok=True)

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "an-example-is-no-secret-make-one-of-your-own-with-secrets")
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost", "testserver"]
USE_TZ = True
TIME_ZONE = "UTC"
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "rest_framework",
    "rest_framework.authtoken",
    "unstale.contrib.django",  # manage.py unstale, and system checks
    "unstale.contrib.django.outbox",  # what was committed is invalidated, whatever dies in between
    "shop",
]
MIDDLEWARE = ["shop.middleware.say_which_process", "django.middleware.common.CommonMiddleware"]

CACHES = {
    "default": {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": os.environ.get("SHOP_CACHE") or f"embedded://{HERE / 'cache'}",
        "TIMEOUT": 300,
        "OPTIONS": {
            "TAG_PATTERNS": ["user:{id}:*"],
            "OUTBOX": True,
            "IGNORE_EXCEPTIONS": True,  # reads go on without the cache
        },
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticatedOrReadOnly"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 20,
}


def database(url: str) -> dict[str, Any]:
    """Django's settings of a database's URL."""
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        # WAL lets readers go on while an order is written; IMMEDIATE takes the write lock when a transaction begins,
        # where SQLite waits for it, and not in its middle, where it gives up.
        pragmas = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        options = {"timeout": 20, "transaction_mode": "IMMEDIATE", "init_command": pragmas}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": parts.path, "OPTIONS": options}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "CONN_MAX_AGE": 600,
    }


DATABASES = {"default": database(os.environ.get("SHOP_DATABASE") or f"sqlite://{HERE / 'shop.db'}")}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["console"]}, "unstale": {"handlers": ["console"]}},
}
