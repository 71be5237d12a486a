"""The example shop as the article's was: django-redis, pattern deletes, and what else goes wrong with caches.

The files here take the place of those of `examples/shop`, whose models, URLs and commands they use. Faults are planted:
each line with one says so in a comment, by which the audit is tested. Nothing else in here is one.
"""
