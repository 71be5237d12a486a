"""The shop's settings with metrics, as docs/metrics.md says."""

from shop.settings import *  # noqa: F403 - it is the shop
from shop.settings import CACHES

ROOT_URLCONF = "metered_urls"
CACHES["default"]["OPTIONS"]["ON_EVENT"] = "unstale.contrib.django.prometheus.on_event"
