"""Made keys as the core takes them, one to one, and back. Pure."""

from __future__ import annotations

from hashlib import blake2b
from typing import Final
from unicodedata import category
from urllib.parse import quote, unquote

from unstale.core.keys import MAX_KEY_BYTES, quote_part

_ESCAPED: Final = "%~"
"""Begins a made key that could not travel as it is: control characters are escaped."""
_HASHED: Final = "%#"
"""Begins one that is too long: it is hashed."""
MAX_PREFIX: Final = 40
"""Characters of a prefix in tags: the core takes 256 bytes in all."""
SHORT: Final = 250
"""Characters of a key that needs no closer look; memcached takes no longer ones."""


def as_key(made: str) -> str:
    """A made key as the core takes it, one to one: control characters are escaped, what is too long is hashed."""
    if made.isprintable() and 0 < len(made) <= SHORT and made[0] != "%":
        return made
    raw = made.encode("utf-8", "surrogatepass")
    if len(raw) > MAX_KEY_BYTES // 3:  # escaped, it has three times as many bytes at most
        return _HASHED + blake2b(raw, digest_size=24).hexdigest()
    strange = any(category(each) in ("Cc", "Cs") for each in made)
    return _ESCAPED + quote(raw) if strange or not raw or made.startswith((_ESCAPED, _HASHED)) else made


def from_key(key: str) -> str:
    """The made key of a key of the core's; one that was hashed stays as it is."""
    return unquote(key[len(_ESCAPED) :], errors="surrogatepass") if key.startswith(_ESCAPED) else key


def in_tags(prefix: str) -> str:
    """KEY_PREFIX as tags have it: one that is long, or does not print, is hashed."""
    quoted = quote_part(prefix)
    prints = quoted.isascii() and quoted.isprintable()
    if len(quoted) <= MAX_PREFIX and prints and not quoted.startswith(("*", _HASHED)):
        return quoted
    return _HASHED + blake2b(prefix.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
