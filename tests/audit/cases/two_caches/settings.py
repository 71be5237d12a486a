CACHES = {
    "default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://cache/0"},
    "pages": {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": "redis://cache/1",
        "OPTIONS": {"TAG_PATTERNS": ["tenant:{x}:*"]},
    },
}
