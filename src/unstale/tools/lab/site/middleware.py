"""The configuration, which each request reads from a cache, as the article's application did."""

from collections.abc import Callable
from typing import Any, Final

from django.core.cache import caches
from django.http import HttpRequest, HttpResponse

KEY: Final = "features"
FEATURES: Final[dict[str, Any]] = {"page_size": 20, "newest_first": True, "show_prices": True}


def read_features(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Give the request `features`; those of the code where the cache has lost them."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.features = caches["config"].get(KEY, FEATURES)
        return get_response(request)

    return middleware


def keep_features() -> None:
    """Store the configuration for good."""
    caches["config"].set(KEY, FEATURES, None)
