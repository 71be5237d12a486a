"""The cache backend: Django's and django-redis's verbs, and what they stand on. `unstale_cache` puts it together."""
