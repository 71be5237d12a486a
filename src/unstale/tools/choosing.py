"""Names that somebody has chosen among those that there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from unstale.errors import UnstaleError


def checked_names(
    names: Iterable[str], known: Mapping[str, object], what: str, refused: type[UnstaleError]
) -> tuple[str, ...]:
    """The names, each once.

    Args:
        names: in any order, which is kept.
        known: those that there are.
        what: they are names of, for the message.
        refused: raised where one is not known, or there is none.
    """
    found = tuple(dict.fromkeys(names))
    unknown = [name for name in found if name not in known]
    if unknown or not found:
        says = f"There is no {what} {', '.join(unknown)}." if unknown else f"No {what} was named."
        raise refused(f"{says} There are: {', '.join(known)}.")
    return found
