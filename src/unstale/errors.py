"""Every exception that unstale raises, in one tree. A class's docstring is its default message and names the remedy.

Nothing here imports anything of unstale: all layers may raise these.
"""

from __future__ import annotations


class UnstaleError(Exception):
    """Something in unstale failed."""

    def __init__(self, message: str | None = None) -> None:
        """Use the class's docstring where no message is given."""
        super().__init__(message or self.__doc__)


class ConfigurationError(UnstaleError, ValueError):
    """An option or a URL given to unstale makes no sense."""


class InvalidKeyError(UnstaleError, ValueError):
    """A key must be a non-empty str without control characters, at most 4,096 bytes in UTF-8."""


class InvalidTagError(UnstaleError, ValueError):
    """A tag must be a non-empty str without control characters, at most 256 bytes in UTF-8."""


class InvalidDurationError(UnstaleError, ValueError):
    """A duration must be a number of seconds or a timedelta, above zero; None means "until evicted"."""


class EncodeError(UnstaleError, TypeError):
    """The codec cannot carry this value. Convert it to plain data, or choose another codec."""


class DecodeError(UnstaleError, ValueError):
    """These bytes are not a value of this codec."""


class LoaderError(UnstaleError, TypeError):
    """The loader returned an awaitable, which a synchronous Cache cannot wait for. Give it a plain function."""


class AbsentError(UnstaleError, KeyError):
    """There is no fresh entry under this key. Set it first, or say which value to begin from (initial=0)."""

    __str__ = Exception.__str__


class NotACounterError(UnstaleError, TypeError):
    """This entry is not an integer from -(2**53 - 1) to 2**53 - 1, or would leave that range."""


class StoreError(UnstaleError):
    """The store did not do what it was asked."""


class StoreClosedError(StoreError):
    """This cache was closed. Make a new one with Cache.from_url()."""


class StoreUnavailableError(StoreError):
    """The server cannot be reached. Check that it runs, its URL, and the network between."""


class StoreTimeoutError(StoreUnavailableError):
    """The server did not answer in time. Look at its load, or raise `timeout` (for reads `read_timeout`)."""


class StoreAuthError(StoreUnavailableError):
    """The server refused the credentials. Check the user name and the password in the URL."""


class NotPrimaryError(StoreUnavailableError):
    """The server is a replica: what it shows may be older than what was invalidated. Point the URL at the primary."""


class WrongNodeError(StoreUnavailableError):
    """The server is a node of a cluster, and the name lies on another one. Begin the URL with redis+cluster://."""


class PoolExhaustedError(StoreUnavailableError):
    """All connections are in use. Raise `max_connections`, or look for what holds them."""


class BreakerOpenError(StoreUnavailableError):
    """Reads were not answered, or an invalidation is queued: they wait for one that probes. Look at the server."""


class QueueError(StoreUnavailableError):
    """The queue of invalidations cannot be used, or not be done. Look at its file and its disk, and at the server."""


class StoreFullError(StoreError):
    """The server is out of memory and refuses writes. Give it an eviction policy (allkeys-lru) or more memory."""


class StoreRefusedError(StoreError):
    """The server answered with an error. Its text follows; for NOPERM see the list of commands that unstale needs."""


class NotReplicatedError(StoreError):
    """It has taken effect on the primary, but too few replicas know of it: a failover could undo it. Call it again."""
