"""`unstale exporter`: a server's side for Prometheus. Read-only: one INFO a scrape, of each node.

nodes      the servers that are told of, and those that were a while ago
figures    the table of metrics, from what INFO says: pure
watch      asks all nodes at once, in bounded time, at most once a second
serve      prometheus_client's collector and HTTP server around it
"""
