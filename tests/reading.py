"""What the tools that only read may send to a server."""

from __future__ import annotations

READING = {
    *("acl|dryrun", "acl|whoami", "auth", "client|list", "client|no-touch", "client|setinfo", "cluster|nodes"),
    *("cluster|slots",),
    *("config|get", "dbsize", "getrange", "hello", "info", "latency|latest", "memory|usage", "monitor", "ping"),
    *("pttl", "randomkey", "readonly", "scan", "select", "slowlog|get"),
}
"""Commands that write nothing, written down here again: a change of the gate's list must be made twice."""
