"""What a cache can be told when it is made, and the fixed parts that come of it: for `Cache` and `AsyncCache` alike."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict, assert_never

from unstale.core import codecs
from unstale.core.codecs import OWN_CODECS, Codec
from unstale.core.keys import Names
from unstale.core.keyspace import Keyspace
from unstale.core.payloads import LARGE, Payloads
from unstale.core.pending import Queue
from unstale.core.policy import Duration, Policy, seconds, stale_seconds
from unstale.core.replay import Recent
from unstale.errors import ConfigurationError
from unstale.events import (
    BreakerClosed,
    BreakerOpened,
    Drained,
    Failed,
    Hook,
    LoadFailed,
    Lost,
    Queued,
    Trouble,
    asks_trips,
    only_measures,
)
from unstale.stores.options import INVALIDATE_SECONDS, READ_SECONDS, StoreOptions

if TYPE_CHECKING:  # who verifies imports them
    from unstale.core.sampling import Verify
    from unstale.core.verifier import Verifier


class CacheOptions(TypedDict, total=False):
    """The options of `Cache.from_url` and `AsyncCache.from_url`, all by name, all with a default.

    Attributes:
        namespace: what its names in Redis begin with; several caches can share a database by it. "unstale".
        ttl: seconds (or a timedelta) that an entry stays fresh where a call says nothing; None for no limit. 300.
        stale_ttl: more seconds that a loaded value may be served stale while it is loaded anew, or where that fails,
            where a call says nothing. What was `set` never is. 0: never.
        beta: how eagerly a value is loaded anew shortly before its ttl is over, by one of its readers (XFetch); 0:
            never, 1: as its paper says. 0.
        runner: does the loads during which a stale value is served; see `unstale.runners`. None: the reader who got
            the lease loads, the others are served.
        timeout: seconds for connecting and for each answer. A call ends within about three times this. 0.3.
        read_timeout: seconds (at most `timeout`) for the answer to a read, without which it goes on as a miss. After
            five in a row the breaker opens: reads go on at once, and one at a time probes whether the server is back,
            at least every 0.8 s. It must be more than the network's round trip. 0.04.
        invalidate_timeout: seconds for an invalidation in all, whatever the network does. 1.
        queue: the path of a local file for invalidations that could not take effect in that time: they are kept there,
            return `Queued`, and are done as soon as the server is back, before this process serves anything from it
            again. All processes of a machine that use the same server may share it; two servers may not. None: what
            could not take effect raises.
        max_connections: most connections of this process (an AsyncCache has one for each event loop); on a cluster, to
            each node. 64.
        connection: more arguments for redis-py's connections, over the URL's: `username`, `password`,
            `credential_provider`, `db`, `client_name`, `driver_info`, `socket_keepalive`, `socket_keepalive_options`,
            and with rediss:// `ssl_ca_certs`, `ssl_certfile` and its like. None.
        sentinel: with redis+sentinel://, such arguments for the connections to the sentinels, which use nothing of
            the URL's credentials; `ssl=True` for TLS. None.
        codec: for values other than bytes and integers up to 2**53 - 1: "msgpack", "json", "raw", "pickle" (needs
            `signing_keys`), or an object of your own (`unstale.core.codecs.Codec`). "msgpack".
        signing_keys: a secret of at least 32 random bytes, or several of which the first signs and all are accepted.
            What was not signed with one of them is a miss. None: nothing is signed.
        compression: "lz4", "zstd", "zlib", or "auto" for the first of these that is installed. None: none.
        compress_above: bytes from which on a value is compressed, if that makes it smaller. 1024.
        fence: "tags" binds entries with tags to the server's identity, so that a failover or a restart from an old
            snapshot cannot bring them back; "all" binds every entry. "replay" binds none, so that the cache stays warm:
            each process makes its own invalidations of the last minute again at a new primary, before it uses it, which
            promises less (docs/promise.md). The same for all who share a namespace. "tags".
        wait: replicas that must have acknowledged an invalidation (also a clear, and the beginning and the end of a
            strict write) before it returns, by the server's WAIT in the same trip. Where fewer did it raises
            NotReplicatedError: it has taken effect on the primary, and may be called again. embedded:// and memory://
            have no replicas, and ignore it. 0: none.
        wait_timeout: seconds that the server may wait for them: less than `timeout` and `invalidate_timeout`. None:
            half of the shorter one.
        lease: seconds that a loader may take before another may try, where the last load's time is not known. 10.
        stamp_ttl: seconds that a stamp lives at least; entries that live longer prolong theirs. 86400.
        replica_lag: seconds (or a timedelta) by which the loaders may read behind the database's primary, at the most,
            because they read a replica of it. Nothing that was loaded so soon after an invalidation is stored: the tag
            is closed for so long, and so is one whose stamp is missing (new, evicted, flushed). Soft invalidations are
            hard ones. The same for all who share a namespace. 0: loaders read the primary.
        on_event: called with each event (`unstale.events`). None.
        verify: the share of hits of `get_or_set`, and of functions decorated with `cached`, whose loader is called as
            well, to see whether it gives what was served: 0.001 for one in a thousand, or a `Verify` that says more.
            By the runner where there is one, else in the reader's own time, before it gets its value. `verification()`
            has what came of it. 0: none.
    """

    namespace: str
    ttl: Duration
    stale_ttl: Duration
    beta: float
    runner: Callable[[Any], object] | None
    timeout: Duration
    read_timeout: Duration
    invalidate_timeout: Duration
    queue: str | os.PathLike[str] | None
    max_connections: int
    connection: Mapping[str, object] | None
    sentinel: Mapping[str, object] | None
    codec: str | Codec
    signing_keys: str | bytes | list[str | bytes] | tuple[str | bytes, ...] | None
    compression: str | None
    compress_above: int
    fence: str
    wait: int
    wait_timeout: Duration
    lease: Duration
    stamp_ttl: Duration
    replica_lag: Duration
    on_event: Hook | None
    verify: float | Verify


_KNOWN: Final = frozenset(CacheOptions.__annotations__)


def check_names(options: CacheOptions) -> None:
    """Raise TypeError for what is no option, as a function does for an argument that it does not have."""
    unknown = sorted(set(options) - _KNOWN)
    if unknown:
        raise TypeError(f"from_url() got an unexpected option {unknown[0]!r}. Known: {', '.join(sorted(_KNOWN))}.")


def store_options(options: CacheOptions) -> StoreOptions:
    """How to reach the server."""
    timeout, max_connections = options.get("timeout", 0.3), options.get("max_connections", 64)
    reads, invalidations = (
        options.get("read_timeout", READ_SECONDS),
        options.get("invalidate_timeout", INVALIDATE_SECONDS),
    )
    if timeout is None or reads is None or invalidations is None:
        raise ConfigurationError("timeout, read_timeout, invalidate_timeout and lease need a limit in seconds.")
    if type(max_connections) is not int or max_connections < 1:
        raise ConfigurationError("max_connections must be an int of at least 1.")
    connection, sentinel = _arguments(options, "connection"), _arguments(options, "sentinel")
    on_event = options.get("on_event")
    limit = seconds(timeout, "timeout")
    invalidate_timeout = seconds(invalidations, "invalidate_timeout")
    wait, wait_seconds = _waiting(options, min(limit, invalidate_timeout))
    return StoreOptions(
        timeout=limit,
        max_connections=max_connections,
        connection=connection,
        sentinel=sentinel,
        read_timeout=seconds(reads, "read_timeout"),
        invalidate_timeout=invalidate_timeout,
        tell=Reporter(on_event),
        trips=on_event if asks_trips(on_event) else None,
        watch=_watch(options.get("queue")),
        wait=wait,
        wait_seconds=wait_seconds,
        recent=_recent(options),
        fences_all=options.get("fence") == "all",
    )


def _watch(path: object) -> Callable[[], None] | None:
    """What looks after the file of the option `queue`. What is none is refused where the file is opened."""
    if not isinstance(path, str | os.PathLike):
        return None
    from unstale.outbox import is_a_name, watching  # noqa: PLC0415 - who wants a queue imports it

    return watching(path) if is_a_name(os.fspath(path)) else None


_recents: Final[weakref.WeakValueDictionary[str, Recent]] = weakref.WeakValueDictionary()
"""One for each namespace of this process: what one of its caches has bumped the others must bring to a new server."""


def _recent(options: CacheOptions) -> Recent | None:
    if options.get("fence") != "replay":
        return None
    namespace = options.get("namespace", "unstale")
    return _recents.setdefault(namespace, Recent(Names(namespace).root_names))


def _waiting(options: CacheOptions, limit: float) -> tuple[int, float]:
    """How many replicas must acknowledge an invalidation, and how long the server waits for them."""
    wait, given = options.get("wait", 0), options.get("wait_timeout")
    if type(wait) is not int or wait < 0:
        raise ConfigurationError("wait must be a number of replicas: an int of at least 0.")
    wait_seconds = limit / 2 if given is None else seconds(given, "wait_timeout")
    if wait_seconds >= limit:
        raise ConfigurationError(
            "wait_timeout must be less than timeout and invalidate_timeout, within which the server has to answer."
        )
    return wait, wait_seconds


def _arguments(options: CacheOptions, name: Literal["connection", "sentinel"]) -> Mapping[str, object]:
    given: object = options.get(name)
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{name} must map the names of redis-py's arguments to values.")
    return dict(given)


def make_keyspace(options: CacheOptions, *, clustered: bool = False) -> Keyspace:
    """The fixed parts of a cache.

    Args:
        options: a cache's.
        clustered: whether its store is a cluster (`stores.urls.is_cluster`).

    Raises:
        ConfigurationError: an option makes no sense.
        InvalidDurationError: a duration is not above zero.
    """
    check_names(options)
    runner: object = options.get("runner")
    if runner is not None and not callable(runner):
        raise ConfigurationError("runner must be callable with a job; see unstale.runners.")
    lease = options.get("lease", 10.0)
    if lease is None:
        raise ConfigurationError("timeout and lease need a limit in seconds.")
    policy = Policy(
        ttl=seconds(options.get("ttl", 300.0)),
        stamp_ttl=seconds(options.get("stamp_ttl", 86400.0), "stamp_ttl"),
        lease_seconds=seconds(lease, "lease"),
        fence=options.get("fence", "tags"),
        stale_ttl=stale_seconds(options.get("stale_ttl", 0.0)),
        beta=options.get("beta", 0.0),
        replica_lag=stale_seconds(options.get("replica_lag", 0.0), "replica_lag"),
    )
    on_event = options.get("on_event")
    reporter = Reporter(on_event)
    namespace = options.get("namespace", "unstale")
    queue = options.get("queue")
    return Keyspace(
        Names(namespace, clustered=clustered),
        _payloads(options, namespace),
        policy,
        reporter,
        on_event,
        queue=None if queue is None else _queue(queue),
        verifier=_verifier(options, namespace, reporter),
    )


def _verifier(options: CacheOptions, namespace: str, fail: Callable[[Trouble], None]) -> Verifier | None:
    given: object = options.get("verify", 0)
    if type(given) in (int, float) and not given:
        return None
    from unstale.verifiers import make_verifier  # noqa: PLC0415 - who verifies imports it

    return make_verifier(given, namespace, fail)


def _queue(path: str | os.PathLike[str]) -> Queue:
    from unstale.outbox import QueueFile  # noqa: PLC0415 - who wants a queue imports it

    return QueueFile(path)


def _payloads(options: CacheOptions, namespace: str) -> Payloads:
    signer = compressor = None
    keys, compression = options.get("signing_keys"), options.get("compression")
    if keys is not None:
        from unstale.core.signing import Signer  # noqa: PLC0415 - slow to import, rarely wanted

        signer = Signer(keys, namespace)
    if compression is not None:
        from unstale.core.compression import compressor_named  # noqa: PLC0415 - the same

        compressor = compressor_named(compression)
    codec = _codec(options.get("codec", "msgpack"))
    above = options.get("compress_above", LARGE)
    return Payloads(codec, signer=signer, compressor=compressor, compress_above=above)


def _codec(given: str | Codec) -> Codec:
    if isinstance(given, str | type) or not isinstance(given, Codec):
        return codecs.codec_named(given)
    own: object = given.number
    if type(own) is not int or own not in OWN_CODECS:
        raise ConfigurationError(f"A codec of your own needs a number from 64 to 255; got {own!r}.")
    return given


class Reporter:
    """Tells the hook of what no caller sees; and the log, failures once a second, unless the hook words them."""

    def __init__(self, hook: Hook | None) -> None:
        """Take the hook."""
        self._hook = hook
        self._logs = hook is None or only_measures(hook)
        self._silent_until = 0.0
        self._unsaid = 0

    def __call__(self, event: Trouble) -> None:
        """Tell."""
        if self._hook is not None:
            self._hook(event)
        if not self._logs:
            return
        if not isinstance(event, Failed | LoadFailed):
            _log(event)
            return
        self._unsaid += 1
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + 1.0
            count, self._unsaid = self._unsaid, 0
            import logging  # noqa: PLC0415 - only a failure pays for it

            logger = logging.getLogger("unstale")
            if isinstance(event, Failed):
                how = "" if event.is_raised else ", gone on without the cache"
                text = f"%s failed{how} (%d such since the last line): %s"
                logger.warning(text, event.operation, count, event.error)
            else:
                text = "the load of %r failed while an older value could be served (%d such since the last line): %s"
                logger.warning(text, event.key, count, type(event.error).__name__)


def _log(event: Queued | Drained | BreakerOpened | BreakerClosed | Lost) -> None:
    """Tell the log what is rare, and to be read."""
    import logging  # noqa: PLC0415 - only a failure pays for it

    logger = logging.getLogger("unstale")
    match event:
        case BreakerOpened(0, error, server):
            logger.warning("reads go on without the server %s until that is done: %s", server, error)
        case BreakerOpened(failures, error, server):
            logger.warning("reads go on without the server %s after %d failures: %s", server, failures, error)
        case BreakerClosed(seconds, server):
            logger.warning("the server %s is back, or replaced; reads went on without it for %.1f s", server, seconds)
        case Queued(tags, error):
            logger.warning("an invalidation of %d tags is queued: %s", len(tags), error)
        case Drained(count, damaged):
            logger.warning("%d queued invalidations have taken effect; %d damaged lines of the queue", count, damaged)
        case Lost(key, tags, seconds, stood):
            how = "none of its tags was invalidated" if stood else "it was stored anew meanwhile"
            text = "%r is served for %.1f s though its loader gives another value, and %s: %s"
            logger.warning(text, key, seconds, how, ", ".join(tags) or "it has no tags")
        case _:
            assert_never(event)
