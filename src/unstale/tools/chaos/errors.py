"""What stops a run of chaos."""

from unstale.errors import UnstaleError


class ChaosError(UnstaleError):
    """The run cannot go on as it was asked to. The message says why, and what to do instead."""
