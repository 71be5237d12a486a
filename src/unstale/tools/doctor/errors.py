"""What stops the doctor."""

from unstale.errors import UnstaleError


class DoctorError(UnstaleError):
    """The doctor cannot look at this server. The message says why, and what to do instead."""


class NotReadOnlyError(UnstaleError):
    """The doctor was about to send a command that is not on its list. Nothing was sent; this is a bug in unstale."""


class SpentError(UnstaleError):
    """The doctor has sent as many commands as it may."""
