"""From django-redis and back, while both live."""
