"""How an address may be shown: no password is ever in a message or a file."""

from __future__ import annotations

from typing import Final, TypeAlias
from urllib.parse import urlsplit

Address: TypeAlias = tuple[str, int]
"""Host and port."""
UNREADABLE: Final = "The server's URL"


def shown(url: str) -> str:
    """A URL without user, password and options; nothing of it, where a password may be in any place."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return UNREADABLE
    if "@" in url and "@" not in parts.netloc:
        return UNREADABLE
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
