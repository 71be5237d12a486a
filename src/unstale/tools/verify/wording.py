"""What may be quoted of a verification, and what it does not say. Sentences, with their figures rounded down.

Names of a log (of namespaces, kinds, keys and tags) are shown with whatever cannot be shown escaped: `shown`.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from unstale.core.verified import Counts, Share, Verification
from unstale.tools.doctor.names import text_of
from unstale.tools.verify.summary import Found

_SCOPE: Final = (
    "It is of reads whose loader is at hand (`get_or_set`, cached functions), of this time and this traffic; "
    "not of `get`, nor of other times."
)
_MEANING: Final = (
    "Consistent within N seconds: no later than N seconds after the read the cache had ceased to serve that value, "
    "or the loader gave it again."
)
LEAST_DIGITS: Final = 2
_MOST_DIGITS: Final = 8


def shown(name: str) -> str:
    """A name for people."""
    return text_of(name.encode("utf-8", "backslashreplace"))


def percent(share: float) -> str:
    """A share in per cent, rounded down, with one digit after its nines, and at least LEAST_DIGITS."""
    if share >= 1:
        return "100 %"
    nines = math.floor(-math.log10(1 - share) + 1e-9)
    digits = min(max(nines - 1, LEAST_DIGITS), _MOST_DIGITS)
    scale = 10**digits
    return f"{math.floor(share * 100 * scale + 1e-6) / scale:.{digits}f} %"


def sure(confidence: float) -> str:
    """A confidence as people say it."""
    return f"{confidence * 100:.6g} % confidence"


def within(seconds: float) -> str:
    """A bound as people say it."""
    if not seconds:
        return "at once"
    return f"within {seconds * 1000:g} ms" if seconds < 1 else f"within {seconds:g} s"


def when(found: Found) -> str:
    """From when to when, in UTC."""
    began, ended = (datetime.fromtimestamp(at, UTC) for at in (found.began_at, found.ended_at))
    return f"from {began:%Y-%m-%d %H:%M} to {ended:%Y-%m-%d %H:%M} UTC"


def quotable(found: Found, seconds: float, confidence: float) -> str:
    """The sentence that one may quote."""
    share: Share = found.verification.consistent_within(seconds, confidence)
    if not share.judged:
        return "Nothing was judged, so nothing may be quoted."
    subject = "were what their loader gave" if not seconds else f"were consistent with their loader {within(seconds)}"
    return (
        f"At least {percent(share.least)} of the reads that `{shown(found.namespace)}` served from the cache "
        f"{when(found)} {subject} ({sure(confidence)}; {share.good:,} of {share.judged:,} sampled reads)."
    )


def cautions(found: Found) -> list[str]:
    """What must be said with it."""
    total = found.verification.total
    said = [_SCOPE, _MEANING]
    unjudged = total.unrepeatable + total.failed + total.skipped
    if unjudged:
        said.append(
            f"Not judged, and in no share: {unjudged:,} sampled reads ({total.skipped:,} skipped for the budget or an "
            f"open transaction, {total.failed:,} whose loader raised, {total.unrepeatable:,} whose loader never gives "
            "the same twice)."
        )
    if total.unsettled:
        said.append(f"{total.unsettled:,} differed and were read no more: they count as consistent within no time.")
    if len(found.rates) > 1:
        rates = ", ".join(f"{rate:g}" for rate in found.rates)
        said.append(f"The rates were {rates}: who was sampled more counts more. Quote each apart.")
    return said + [_always(kind, counts) for kind, counts in always_differing(found.verification)]


def always_differing(verification: Verification) -> list[tuple[str, Counts]]:
    """The kinds of which no read was the same."""
    return [(kind, counts) for kind, counts in sorted(verification.kinds.items()) if counts.always_differs]


def _always(kind: str, counts: Counts) -> str:
    return (
        f"`{shown(kind)}` was never the same ({counts.differed + counts.unrepeatable:,} reads): a time or a draw in "
        "it, an order that the query does not fix, a key that leaves out what the value depends on? Name it in "
        "`except_keys`, or say by `same` what counts."
    )


def lost_lines(found: Found) -> list[str]:
    """What was lost, one by one."""
    said = []
    for one in found.verification.lost:
        tags = ", ".join(map(shown, one.tags)) or "no tags"
        how = (
            "nobody invalidated any of them"
            if one.stood
            else "it was stored anew meanwhile: its loader reads what lags, or depends on what the key does not name"
        )
        at = datetime.fromtimestamp(one.at, UTC)
        said.append(
            f"{shown(one.key)}: differed for {one.seconds:.1f} s, seen {at:%Y-%m-%d %H:%M:%S} UTC; {tags}; {how}"
        )
    return said
