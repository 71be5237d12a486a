"""`make demo`: what deleting cache keys costs, and what unstale costs, on a real server.

workload.py   what is asked of every variant, computed before anything starts
orders.py     the pages that are cached
database.py   the database behind the cache
variants.py   the four ways of keeping a cache up to date
judge.py      what a stale read is
worker.py     one client process
run.py        one variant, from an empty server to its figures
server.py     the server, and its own account of what it did
figures.py    figures from what was recorded: pure
report.py     table, conclusion, exit code
screen.py     progress
"""
