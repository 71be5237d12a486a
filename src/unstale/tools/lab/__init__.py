"""The lab: the article's investigation, replayed on this machine and measured step by step.

    plan       what is to be run: the variants and the load, all of it, seeded
    servers    the one under test and those beside it, each under a warden; keyspace, sampling, throttle, preconditions
    databases  the application's, a new one for each variant
    site/      the system under test: examples/shop, whose order history is cached in each variant's way
    workers    gunicorn and Celery, as children on a leash, which end with the lab
    load       a process of its own (visitors, by locust): open loop by a schedule, every answer judged, all tallied
    generator  the lab's end of that process
    run        one variant after another, from an empty server to its outcome
    results    what was measured: every sample, and the figures computed from them; stored: as JSON in a file
    told, table, conclusions, charts, gallery, page, report, live    what a person sees of it
    scale      what one invalidation and one read cost, by the size of the keyspace

Only `unstale.tools.cli` prints. What a figure means is said in `results`, once.
"""
