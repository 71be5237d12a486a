"""`unstale verify`: the logs of an application's processes to a table, and to a sentence that may be quoted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from unstale.core.confidence import CONFIDENCE
from unstale.core.verified import BOUNDS
from unstale.tools.cli.saying import console, told
from unstale.tools.verify.summary import Found, Summary, summary_of
from unstale.tools.verify.table import kinds_table, shares_table
from unstale.tools.verify.wording import cautions, lost_lines, quotable, shown


def verify(
    logs: Annotated[list[Path], typer.Argument(help="The files that caches with verify=Verify(log=…) have written.")],
    *,
    within: Annotated[float, typer.Option(min=0, help="Seconds of the sentence; 0: equal at once.")] = 1.0,
    confidence: Annotated[
        float, typer.Option(min=0.5, max=0.999_999, help="How often such a sentence is right, at the least.")
    ] = CONFIDENCE,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What verifying has found, over all processes. Exit status 1 if a write was not followed by an invalidation."""
    with told():
        summary = summary_of(logs)
    if as_json:
        typer.echo(msgspec.json.encode(_plain(summary, within, confidence)).decode())
    else:
        _show(summary, within, confidence)
    if summary.is_any_lost:
        raise typer.Exit(1)


def _show(summary: Summary, within: float, confidence: float) -> None:
    for found in summary.found:
        _say(shown(found.namespace), style="bold")
        console.print(kinds_table(found.verification))
        console.print()
        console.print(shares_table(found.verification, confidence))
        console.print()
        lost = lost_lines(found)
        if lost:
            _say("Lost: served on, though its loader gives another value:", style="bold red")
            for line in lost:
                _say(f"  {line}")
            console.print()
        _say(quotable(found, within, confidence), style="bold")
        for caution in cautions(found):
            _say(f"- {caution}")
        console.print()
    if summary.damaged:
        lines = summary.lines + summary.damaged
        _say(f"{summary.damaged} of {lines} lines could not be read: what they held is missing.")


def _say(text: str, style: str = "") -> None:
    console.print(text, style=style, markup=False)


def _plain(summary: Summary, within: float, confidence: float) -> dict[str, Any]:
    """All of it, with the shares worked out."""
    return {
        "lines": summary.lines,
        "damaged": summary.damaged,
        "found": [
            {
                **msgspec.to_builtins(found),
                "confidence": confidence,
                "shares": [
                    {"within": seconds, **found.verification.consistent_within(seconds, confidence)._asdict()}
                    for seconds in (0.0, *BOUNDS)
                ],
                "quotable": _quotable(found, within, confidence),
            }
            for found in summary.found
        ],
    }


def _quotable(found: Found, within: float, confidence: float) -> dict[str, Any]:
    return {"text": quotable(found, within, confidence), "cautions": cautions(found)}
