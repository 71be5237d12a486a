"""Words in names and keys, where one begins: `user_id`, `currentUser`, `user:42`. "guide" has no "uid" in it."""

from __future__ import annotations

import re
from typing import Final


def any_of(*words: str) -> re.Pattern[str]:
    """A pattern that finds a word at its beginning.

    Args:
        words: in small letters; each also finds longer words that begin with it.
    """
    small, large = "|".join(words), "|".join(word[:1].upper() + word[1:] for word in words)
    return re.compile(rf"(?<![A-Za-z])(?i:{small})|(?<=[a-z0-9])(?:{large})")


VERSION: Final = any_of(
    "version", "ver_", "ver:", "generation", "gen_", "gen:", "epoch", "stamp", "revision", "rev:", "rev_",
)  # fmt: skip
"""What a key is called whose value is counted up to make other keys new."""
