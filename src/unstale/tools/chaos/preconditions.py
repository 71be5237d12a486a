"""Whether a run can be done here, found out before anything is started or written."""

from __future__ import annotations

import redis

from unstale.stores.addresses import shown
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.layouts import Users
from unstale.tools.chaos.servers import client_of
from unstale.tools.programs import program_of


def check_server(server: str) -> None:
    """See that a server can be started, or that the user's own answers and takes writes.

    Raises:
        ConfigurationError: its program is not installed.
        ChaosError: it cannot be reached, or is a replica. No password is in the message.
    """
    if "://" not in server:
        program_of(server)
        return
    try:
        for url in Users(server).primaries():
            with client_of(url) as client:
                role = client.info("replication").get("role")
    except (redis.RedisError, OSError) as error:
        raise ChaosError(f"{shown(server)} refused, or cannot be reached: {type(error).__name__}: {error}") from error
    except ValueError:  # not chained: it may quote a part of the URL, and with it of the password
        raise ChaosError(
            f"{shown(server)} cannot be read. Write it as redis://user:password@host:6379/1, with %-signs for special "
            "characters in the password (%2F for a slash)."
        ) from None
    if role != "master":
        raise ChaosError(f"{shown(server)} is a replica, which takes no writes. Name its primary.")
