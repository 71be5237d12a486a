from django.core.cache import cache

from .naming import named


def is_newer(feed):
    return feed.updated_at > cache.get(named("feed", feed.pk), 0)
