"""The lab: the article's investigation, replayed on this machine and measured step by step.

    plan       what is to be run: the variants and the load, all of it, seeded
    servers    the server under test: started, held to its cores, filled, sampled, left as it was found
    site/      the system under test: examples/shop, whose order history is cached in each variant's way
    workers    gunicorn and Celery, as children that end with the lab: see leash
    load       a process of its own: locust, open loop, and the check of every answer; generator is the lab's end of it
    run        one variant after another, from an empty server to its result
    results    what was measured: every sample, and the figures computed from them; read and written as JSON
    table, charts, report, live   what a person sees of it
    scale      what one invalidation and one read cost, by the size of the keyspace

Only `unstale.tools.cli` prints. What a figure means is said in `results`, once.
"""
