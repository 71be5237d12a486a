"""The arguments for redis-py's connections that a cache is given beside its URL: which are taken, what they must be.

What redis-py's connection does not know is refused by its name; what says how redis-py itself would read, decode or try
again is ignored, since a store reads its socket itself. No message shows a value: it may be a password.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final

from redis.credentials import CredentialProvider

from unstale.errors import ConfigurationError
from unstale.stores.proof import CredentialsFailedError

OURS: Final = ("max_connections", "timeout")
"""Options of redis-py's pool, which is not used; StoreOptions has them."""
MOOT: Final = frozenset(
    {"decode_responses", "health_check_interval", "protocol", "retry_on_timeout"}
    | {"socket_connect_timeout", "socket_timeout"}
)
"""Options that other clients of the same server may need: they change nothing here."""
_MOOT_ARGUMENTS: Final = MOOT | {
    *("encoding", "encoding_errors", "legacy_responses", "parser_class"),
    *("retry", "retry_on_error", "socket_read_size"),
}
_TAKEN: Final = frozenset(
    {"client_name", "credential_provider", "db", "driver_info", "lib_name", "lib_version", "password"}
    | {"socket_keepalive", "socket_keepalive_options", "socket_type", "username"}
)
_OF_THE_URL: Final = frozenset({"connection_class", "host", "path", "port", "ssl", "unix_socket_path"})
_KINDS: Final[dict[str, tuple[type[Any], ...]]] = {
    "client_name": (str,),
    "password": (str, bytes),
    "socket_keepalive": (bool,),
    "socket_keepalive_options": (Mapping,),
    "username": (str,),
}
"""Of what type an argument must be, None aside, where redis-py would only find out while it connects."""


def taken(given: Mapping[str, object], kind: type[Any], source: str) -> dict[str, Any]:
    """The arguments that go to a connection.

    Args:
        given: by name.
        kind: redis-py's class of connections.
        source: the option that they came with, for messages.

    Raises:
        ConfigurationError: one is unknown, or of the wrong type. It is named, and its value is not.
    """
    known = _parameters_of(kind)
    for name, value in given.items():
        if name not in _MOOT_ARGUMENTS:
            _check(name, value, known, source)
    return {name: value for name, value in given.items() if name not in _MOOT_ARGUMENTS}


def _parameters_of(kind: type[Any]) -> set[str]:
    """What a class and its bases can be given by name: each passes on what it does not know."""
    return {
        name
        for base in kind.__mro__
        for name in inspect.signature(vars(base).get("__init__", object.__init__)).parameters
    }


def _check(name: object, value: object, known: set[str], source: str) -> None:
    if name in OURS:
        raise ConfigurationError(f"Give {name} to the cache, not in {source}: Cache.from_url(url, {name}=…).")
    if name in _OF_THE_URL:
        raise ConfigurationError(f"{source} takes no {name!r}: the URL says that (rediss:// for TLS).")
    if not isinstance(name, str) or not (name in _TAKEN or name.startswith("ssl_")):
        raise ConfigurationError(f"{source} takes no argument {str(name)[:40]!r}.")
    if name not in known:
        remedy = " TLS needs rediss://." if name.startswith("ssl_") and "ssl_ca_certs" not in known else ""
        raise ConfigurationError(f"{source} has {name!r}, which redis-py does not know for this URL.{remedy}")
    if value is not None and not isinstance(value, _KINDS.get(name, object)):
        kinds = " or ".join(one.__name__ for one in _KINDS[name])
        raise ConfigurationError(f"{name!r} in {source} must be of type {kinds}, not {type(value).__name__}.")
    if name == "socket_keepalive_options" and not _are_socket_options(value):
        raise ConfigurationError(f"{name!r} in {source} must map ints, such as socket.TCP_KEEPIDLE, to ints or bytes.")
    if name == "db" and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ConfigurationError(f"'db' in {source} must be a database's number: an int of at least 0.")
    if name == "credential_provider" and value is not None and not hasattr(value, "get_credentials"):
        raise ConfigurationError(f"'credential_provider' in {source} must have a method get_credentials().")


def _are_socket_options(value: object) -> bool:
    return not isinstance(value, Mapping) or all(
        isinstance(option, int) and isinstance(setting, int | bytes) for option, setting in value.items()
    )


def merged(of_url: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A URL's arguments, and what overrides them: a provider of credentials takes the place of the URL's."""
    kept = dict(of_url)
    if given.get("credential_provider") is not None:
        kept.pop("username", None)
        kept.pop("password", None)
    return {**kept, **given}


class Provider(CredentialProvider):
    """A user's provider of credentials, whose failures become redis-py's: so its connection is closed and tells us.

    Of such a failure only the kind is said: its text may show the token.
    """

    def __init__(self, own: Any) -> None:
        """Take the user's."""
        self._own = own

    def get_credentials(self) -> Any:
        """Ask it. Raises CredentialsFailedError."""
        try:
            return self._own.get_credentials()
        except Exception as error:  # noqa: BLE001 - raises anew
            raise _failed(error) from None

    async def get_credentials_async(self) -> Any:
        """Ask it. Raises CredentialsFailedError."""
        try:
            if hasattr(self._own, "get_credentials_async"):
                return await self._own.get_credentials_async()
            return self._own.get_credentials()
        except Exception as error:  # noqa: BLE001 - raises anew
            raise _failed(error) from None


def _failed(error: Exception) -> CredentialsFailedError:
    return CredentialsFailedError(f"The provider of credentials failed: {type(error).__name__}.")
