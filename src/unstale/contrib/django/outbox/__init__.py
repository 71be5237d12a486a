"""The outbox: invalidations that survive this process and an outage of the cache's server. An app of its own.

    INSTALLED_APPS += ["unstale.contrib.django.outbox"]                     # and manage.py migrate
    CACHES["default"]["OPTIONS"]["OUTBOX"] = True

`rows` writes a row in the transaction that an invalidation belongs to, and removes it when that has taken effect.
`relay` carries out what was left: `manage.py unstale_relay`, or the Celery task in `tasks`.
"""
