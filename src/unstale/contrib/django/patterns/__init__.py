"""TAG_PATTERNS: which tags a key carries, and which tag stands for a `delete_pattern`. Pure: no Django, no I/O.

A pattern is a Redis glob with placeholders, for keys as a project writes them, before KEY_FUNCTION:

    TAG_PATTERNS = ["user:{id}:*", "*.{prefix}.*", ("orders:{user_id}:*", "user:{user_id}/orders")]

A placeholder is at least one character, none of them the one that follows it: `{id}` in `user:{id}:*` holds no colon.
At the end of a pattern it runs to the key's end; if an asterisk stands anywhere before it, it does not hold the
character just before it either. Beside a wildcard or another placeholder it is ambiguous, and an error.

The rule of this module: *the keys that carry the tag of a binding are exactly the keys that match the pattern with that
binding filled in*. So a `delete_pattern` of that glob is one write, whatever a server's own matching would have found.
A key carries a tag for every possible binding, of all patterns.
"""

from __future__ import annotations

from typing import Final

from unstale.contrib.django.patterns.advising import Advice, Advisor
from unstale.contrib.django.patterns.anchoring import is_page, remedy
from unstale.contrib.django.patterns.checking import Finding, findings
from unstale.contrib.django.patterns.parsing import Pattern, TooManyBindings, parse_pattern, parse_patterns
from unstale.contrib.django.patterns.tokens import PatternError, encoded
from unstale.core.keys import ancestry

__all__ = [
    "Advice",
    "Advisor",
    "Finding",
    "Matcher",
    "Pattern",
    "PatternError",
    "TooManyBindings",
    "findings",
    "is_page",
    "parse_pattern",
    "parse_patterns",
    "remedy",
]

MAX_KEY_TAGS: Final = 24
"""Most tags that patterns give one key, ancestors included. The core takes 32: some are left to the caller."""


class Matcher:
    """All patterns of a cache.

    Attributes:
        patterns: as they were declared.
    """

    __slots__ = ("patterns",)

    def __init__(self, declared: object = ()) -> None:
        """Read TAG_PATTERNS; see `parse_patterns`."""
        self.patterns = parse_patterns(declared)

    def tags_of(self, key: str) -> tuple[str, ...]:
        """Every tag of a key: each once, sorted.

        Args:
            key: as the project writes it, before KEY_FUNCTION.

        Raises:
            TooManyBindings: such a key must not be stored: it would lack a tag by which it is to be invalidated.
        """
        raw = encoded(key)
        tags: set[str] = set()
        for pattern in self.patterns:
            tags.update(pattern.tags(raw))
        if (
            len(tags) + "".join(tags).count("/") > MAX_KEY_TAGS  # at most so many, with ancestors
            and len({each for tag in tags for each in ancestry(tag)}) > MAX_KEY_TAGS
        ):
            most = max(self.patterns, key=lambda pattern: len(pattern.tags(raw)))
            raise TooManyBindings(most.text, f"and others give more than {MAX_KEY_TAGS} tags")
        return tuple(sorted(tags))

    def tag_for_delete(self, glob: str) -> tuple[str, ...] | None:
        """The tag that the keys of a glob carry, they and no others: the one to invalidate in place of deleting them.

        Where several patterns have it, one tag is enough. A tag that lacks a placeholder of its pattern is taken only
        if there is no exact one: it invalidates more.

        Args:
            glob: as it is given to `delete_pattern`.

        Returns:
            None for a glob that is undeclared: wider or narrower than each pattern, or with wildcards where there is
            a placeholder.
        """
        wider: tuple[str, ...] | None = None
        for pattern in self.patterns:
            values = pattern.bound(glob)
            if values is None:
                continue
            tag = (pattern.template.rendered(values),)
            if pattern.is_exact:
                return tag
            wider = wider or tag
        return wider
