"""The article's shop as it was: django-redis, pattern deletes, and what else goes wrong with caches. Faults are planted.

Each line with a fault says so in a comment, by which the audit is tested: nothing else in here is one.
"""
