def shared(name):
    return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": name, "TIMEOUT": 300}


CACHES = {
    "default": shared("one"),
    "profiles": {**shared("two"), "TIMEOUT": None},  # expect: UNS009
    "short": {**shared("three"), "TIMEOUT": 60},
}

HTTP = {**shared("four"), "TIMEOUT": None}
