"""The shop of examples/shop with other views of the same orders: a settings module for each.

They import the shop's own settings, models and serializers: to be run with examples/shop on the path. BENCH_ORDERS
names the viewset that answers /api/orders/.
"""
