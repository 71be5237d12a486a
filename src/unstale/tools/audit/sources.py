"""Which files are audited, and what is in them: text and syntax. Whatever cannot be audited is told, never raised.

Left out are what .gitignore names, what the settings exclude, hidden and vendored folders, and (unless they are asked
for) tests, migrations and documentation. Symbolic links to folders are not followed, so that none leads in a circle.
"""

from __future__ import annotations

import ast
import io
import json
import os
import tokenize
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import pathspec

from unstale.tools.audit.errors import AuditError
from unstale.tools.audit.modern import older
from unstale.tools.audit.results import Problem
from unstale.tools.audit.settings import Settings

VENDORED: Final = frozenset({
    "site-packages", "node_modules", "__pycache__", "vendor", "vendored", "_vendor", "third_party", "thirdparty",
    "eggs", "__pypackages__", "bower_components",
})  # fmt: skip
MADE: Final = frozenset({"venv", "env", "virtualenv", "build", "dist"})
"""Folders that tools make, unless they are packages of the project."""
TESTS: Final = frozenset({"tests", "test", "testing", "migrations"})
DOCS: Final = frozenset({"docs", "doc"})
"""Documentation, unless they are packages of the project."""
_HEADER: Final = "This file is not audited: "


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A file that could be read.

    Attributes:
        path: relative to what is audited, with slashes.
        text: its Python code; of a notebook its code cells, one after the other.
        tree: its syntax.
        cells: of a notebook, for each line of the text the cell's number and the line in it, from 1.
    """

    path: str
    text: str
    tree: ast.Module
    cells: tuple[tuple[int, int], ...] = ()

    @property
    def module_name(self) -> str:
        """Its dotted name."""
        parts = list(PurePosixPath(self.path).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        return ".".join(parts)

    @property
    def is_package(self) -> bool:
        """Whether it is an `__init__.py`."""
        return self.path.rpartition("/")[2] == "__init__.py"


def files(
    root: Path, settings: Settings, tell: Callable[[Problem], None] = lambda _: None
) -> Iterator[tuple[Path, str]]:
    """The files to audit, with their paths relative to the root, in order.

    Args:
        root: a file or a folder.
        settings: what to leave out.
        tell: is given the folders that cannot be read.

    Raises:
        AuditError: there is no such file or folder.
    """
    if root.is_file():
        yield root, root.name
        return
    if not root.is_dir():
        raise AuditError(f"There is no file or folder {root}.")
    yield from _below(root, "", _Left(settings, ()), tell)


class _Left:
    """What is left out in a folder and below."""

    def __init__(self, settings: Settings, ignored: Sequence[tuple[str, pathspec.GitIgnoreSpec]]) -> None:
        self.settings = settings
        self.excluded = pathspec.GitIgnoreSpec.from_lines(settings.exclude)
        self.ignored = ignored

    def within(self, folder: Path, base: str) -> _Left:
        """The same with the folder's own .gitignore."""
        file = folder / ".gitignore"
        if not file.is_file():
            return self
        lines = file.read_text("utf-8", errors="replace").splitlines()
        return _Left(self.settings, (*self.ignored, (base, pathspec.GitIgnoreSpec.from_lines(lines))))

    def has(self, path: str, *, is_folder: bool) -> bool:
        """Whether a path is left out."""
        name = path.rpartition("/")[2]
        if is_folder and (name.startswith(".") or name in VENDORED or name.endswith(".egg-info")):
            return True
        if not self.settings.include_tests and (name in TESTS if is_folder else is_test(name)):
            return True
        asked = f"{path}/" if is_folder else path
        if self.excluded.match_file(asked):
            return True
        return any(spec.match_file(asked.removeprefix(f"{base}/") if base else asked) for base, spec in self.ignored)


def _is_no_package(folder: Path, settings: Settings) -> bool:
    """Whether a folder is left out by its name, and is no package of the project."""
    names = MADE if settings.include_tests else MADE | DOCS
    return folder.name in names and not os.path.exists(folder / "__init__.py")  # noqa: PTH110 - it never raises


def is_test(name: str) -> bool:
    """Whether a file is a test by its name."""
    return name.endswith(".py") and (
        name.startswith("test_") or name.endswith("_test.py") or name in {"tests.py", "conftest.py"}
    )


def _below(folder: Path, base: str, left: _Left, tell: Callable[[Problem], None]) -> Iterator[tuple[Path, str]]:
    try:
        left = left.within(folder, base)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        tell(Problem(_plain_text(base or "."), f"This folder is not audited: {error.strerror or error}."))
        return
    for entry in entries:
        path = f"{base}/{entry.name}" if base else entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if is_folder and not left.has(path, is_folder=True) and not _is_no_package(Path(entry.path), left.settings):
            yield from _below(Path(entry.path), path, left, tell)
        elif entry.name.endswith((".py", ".ipynb")) and _is_file(entry) and not left.has(path, is_folder=False):
            yield Path(entry.path), _plain_text(path)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether something is a file, or a link to one; a link that leads nowhere is none."""
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _plain_text(path: str) -> str:
    """A path that can be written: a name may hold any bytes."""
    return path.encode("utf-8", "replace").decode()


def read(file: Path, path: str, settings: Settings) -> tuple[Source | None, list[Problem]]:
    """One file's text and syntax.

    Args:
        file: where it is.
        path: relative to what is audited.
        settings: how large it may be.

    Returns:
        The source, None if it cannot be audited; and what there is to tell.
    """
    try:
        size = file.stat().st_size
        if size > settings.largest_bytes:
            return None, [
                Problem(path, f"{_HEADER}it has {size:,} bytes, more than {settings.largest_bytes:,} (largest-bytes).")
            ]
        raw = file.read_bytes()
    except OSError as error:
        return None, [Problem(path, f"{_HEADER}it cannot be read: {error.strerror or error}.")]
    if path.endswith(".ipynb"):
        return _notebook(raw, path)
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(raw).readline)
        text = io.TextIOWrapper(io.BytesIO(raw), encoding).read()
    except (SyntaxError, UnicodeDecodeError, LookupError) as error:
        said = str(error).partition("\n")[0]
        return None, [Problem(path, f"{_HEADER}it is not in the encoding that it declares, or in UTF-8: {said}.")]
    tree, problem = parsed(text, path)
    return (Source(path, text, tree), []) if tree is not None else (None, [problem] if problem else [])


def parsed(text: str, path: str) -> tuple[ast.Module | None, Problem | None]:
    """A text's syntax, or why there is none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the audited code's own: an invalid escape, `is` with a literal
            return ast.parse(text), None
    except SyntaxError as error:
        if (tree := _modern(text)) is not None:
            return tree, None
        said = f"{_HEADER}Python {_version()} cannot parse it: {error.msg}{_python_2(text, error.lineno)}."
        return None, Problem(path, said, error.lineno)
    except (ValueError, RecursionError, MemoryError) as error:
        return None, Problem(path, f"{_HEADER}it cannot be parsed: {str(error) or type(error).__name__}.")


def _modern(text: str) -> ast.Module | None:
    """The syntax of code in a newer Python than this one."""
    rewritten = older(text)
    if rewritten is None:
        return None
    try:
        return ast.parse(rewritten)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _version() -> str:
    import sys  # noqa: PLC0415 - for a message

    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _python_2(text: str, line: int | None) -> str:
    lines = text.split("\n")
    said = lines[line - 1].strip() if line and line <= len(lines) else ""
    if said.startswith(("print ", "exec ", "raise ")) or (said.startswith("except ") and "," in said):
        return " (it is Python 2)"
    return ""


def _notebook(raw: bytes, path: str) -> tuple[Source | None, list[Problem]]:
    """The code cells, as one text."""
    try:
        document: Any = json.loads(raw)
        cells = (
            document["cells"]
            if "cells" in document
            else [cell for sheet in document["worksheets"] for cell in sheet["cells"]]
        )
        codes = [_code(cell) for cell in cells]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        return None, [Problem(path, f"{_HEADER}it is no notebook: {error}.")]
    lines: list[str] = []
    places: list[tuple[int, int]] = []
    problems: list[Problem] = []
    for number, code in enumerate(codes, 1):
        if code is None:
            continue
        tree, problem = parsed(code, path)
        if tree is None:
            problems.append(
                Problem(path, f"Cell {number} is not audited: {problem.why.removeprefix(_HEADER) if problem else ''}")
            )
            continue
        own = code.split("\n")
        lines += own
        places += [(number, line) for line in range(1, len(own) + 1)]
    text = "\n".join(lines) + "\n"
    tree, problem = parsed(text, path)
    if tree is None:
        return None, [*problems, *([problem] if problem else [])]
    return Source(path, text, tree, tuple(places)), problems


def _code(cell: Any) -> str | None:
    """A code cell's text, with what is no Python (magics, shell lines) left blank; None for other cells."""
    if cell["cell_type"] != "code":
        return None
    source = cell.get("source", cell.get("input", ""))
    text = (source if isinstance(source, str) else "".join(source)).encode("utf-8", "replace").decode()
    if text.lstrip().startswith("%%"):
        return None
    return "\n".join(_plain(line) for line in text.split("\n"))


def _plain(line: str) -> str:
    bare = line.lstrip()
    if bare.startswith(("%", "!", "?")) or bare.rstrip().endswith("?"):
        return line[: len(line) - len(bare)] + "pass"
    return line
