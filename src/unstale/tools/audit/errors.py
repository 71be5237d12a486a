"""What stops an audit."""

from unstale.errors import UnstaleError


class AuditError(UnstaleError):
    """The audit cannot be made as it was asked for. The message says why, and what to do instead."""
