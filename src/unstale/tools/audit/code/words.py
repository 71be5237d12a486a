"""Words in names and keys, where one begins: `user_id`, `currentUser`, `user:42`. "guide" has no "uid" in it."""

from __future__ import annotations

import re


def any_of(*words: str) -> re.Pattern[str]:
    """A pattern that finds a word at its beginning.

    Args:
        words: in small letters; each also finds longer words that begin with it.
    """
    small, large = "|".join(words), "|".join(word[:1].upper() + word[1:] for word in words)
    return re.compile(rf"(?<![A-Za-z])(?i:{small})|(?<=[a-z0-9])(?:{large})")
