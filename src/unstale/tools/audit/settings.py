"""What a project says of its audit: `[tool.unstale.audit]` in its pyproject.toml."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec

from unstale.tools.audit.errors import AuditError

LARGEST_BYTES: Final = 2_000_000
"""A larger file was generated, or is data."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """How to audit.

    Raises:
        msgspec.ValidationError: by `msgspec.convert`, for an unknown name or a value of another type.
    """

    exclude: tuple[str, ...] = ()
    """Files and folders to leave out, as in .gitignore, beside those that .gitignore itself names."""
    include_tests: bool = False
    """Whether code in tests, migrations and documentation is audited too."""
    select: tuple[str, ...] = ()
    """Only these rules; all by default."""
    ignore: tuple[str, ...] = ()
    """All but these rules."""
    cache_names: tuple[str, ...] = ()
    """What the project calls its caches, where it cannot be found out: `cache-names = ["store"]` for `store.get(…)`."""
    largest_bytes: int = LARGEST_BYTES
    """Files that are larger are left out, and told."""


def settings_of(path: Path) -> Settings:
    """What the nearest pyproject.toml, in a folder or those around it, says.

    Args:
        path: what is audited.

    Raises:
        AuditError: it cannot be read, or has names or values that are not known.
    """
    real = Path(os.path.realpath(path))  # unlike resolve it bears a link to itself
    folder = real if path.is_dir() else real.parent
    for each in (folder, *folder.parents):
        file = each / "pyproject.toml"
        if file.is_file():
            return _read(file)
    return Settings()


def _read(file: Path) -> Settings:
    try:
        said: dict[str, Any] = tomllib.loads(file.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AuditError(f"{file.name} cannot be read: {error}.") from error
    table = said.get("tool", {}).get("unstale", {}).get("audit", {})
    try:
        return msgspec.convert(table, Settings)
    except msgspec.ValidationError as error:
        raise AuditError(f"[tool.unstale.audit] in {file.name}: {error}.") from error
