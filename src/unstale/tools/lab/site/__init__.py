"""The system under test: examples/shop, whose order history is cached in each variant's way.

    environment   what a process of the site is told, and by which variables
    backends      Django's CACHES of each variant
    settings      the shop's settings, with those
    apps          the shop without its own registrations: the variant alone says what becomes stale
    caching       the variants: how a history is read, and what happens when its user orders
    history       what is cached, as it is in the database
    views, urls   the API: the same for all variants
    middleware    the configuration, which each request reads
    tasks         Celery's part of `async-deletes`
    prepare       run once before the rest: tables, rows, configuration

This is an application, written as such applications are: it measures nothing and knows nothing of the lab but what
`environment` says. Importing this package imports nothing: settings come first.
"""
