"""What the design promises, measured: `python -m bench`. Never part of a test, but for the race's count of stale reads.

Each part starts servers of its own, measures what it compares in turns within one run, and returns a `Part`: tables,
and targets with what was measured. Only `__main__` prints.
"""
