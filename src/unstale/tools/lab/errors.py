"""What stops the lab."""

from unstale.errors import UnstaleError


class LabError(UnstaleError):
    """The lab cannot run as it was asked to. The message says why, and what to do instead."""
