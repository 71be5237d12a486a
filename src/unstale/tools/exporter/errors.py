"""What keeps an exporter from being started."""

from unstale.errors import UnstaleError


class ExporterError(UnstaleError):
    """It cannot be started as it was asked to. The message says why, and what to do instead."""
