"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

SentinelPassword: TypeAlias = Annotated[
    str | None, typer.Option(envvar="UNSTALE_SENTINEL_PASSWORD", help="Where the sentinels have one of their own.")
]
