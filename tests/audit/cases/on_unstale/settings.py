import os

CACHES = {
    "default": {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": os.environ["CACHE"],
        "OPTIONS": {"TAG_PATTERNS": ["user:{user_id}:*", ("catalogue:*", "catalogue")]},
    },
    "pages": {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": os.environ["CACHE"],
        "KEY_PREFIX": "pages",
        "OPTIONS": {"TAG_PATTERNS": ["user:{user_id}:*", "page:{slug}:*"]},
    },
}
