"""Which files are audited, and what is told of those that cannot be."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from unstale.tools.audit import AuditError, Settings, audit, settings_of
from unstale.tools.audit.sources import files

BAD = "from django.core.cache import cache\ncache.clear()\n"


def paths(root: Path, settings: Settings | None = None) -> list[str]:
    """What would be audited."""
    return [path for _, path in files(root, settings or Settings())]


def test_what_is_left_out(tmp_path: Path) -> None:
    """Tests, migrations, documentation, vendored and hidden folders, and what .gitignore names."""
    for name in (
        "app/views.py", "app/tests/test_views.py", "app/tests.py", "app/test_more.py", "app/conftest.py",
        "app/migrations/0001.py", "docs/conf.py", "node_modules/x.py", ".venv/x.py", "build/x.py", "made/x.py",
        "made/kept.py", "app/local/x.py", "app/x_test.py", "env/x.py", "app/env/__init__.py",
        "app/doc/__init__.py", "app/doc/pages.py", "doc/conf.py",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / ".gitignore").write_text("made/*\n!made/kept.py\n")
    (tmp_path / "app/.gitignore").write_text("/local/\n")
    assert paths(tmp_path) == [
        "app/doc/__init__.py", "app/doc/pages.py", "app/env/__init__.py", "app/views.py", "made/kept.py",
    ]  # fmt: skip
    assert "app/tests/test_views.py" in paths(tmp_path, Settings(include_tests=True))
    assert paths(tmp_path, Settings(exclude=("app/",))) == ["made/kept.py"]


def test_links_in_a_circle(tmp_path: Path) -> None:
    """A link to a folder around it is not followed."""
    (tmp_path / "a.py").write_text(BAD)
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert [finding.path for finding in audit(tmp_path).findings] == ["a.py"]


def test_files_that_cannot_be_parsed(tmp_path: Path) -> None:
    """They are told, with the line, and the rest is audited."""
    (tmp_path / "good.py").write_text(BAD)
    (tmp_path / "old.py").write_text('x = 1\nprint "hello"\n')
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "null.py").write_bytes(b"x = 1\0\n")
    report = audit(tmp_path)
    assert [finding.path for finding in report.findings] == ["good.py"]
    told = {problem.path: (problem.line, problem.why) for problem in report.problems}
    assert set(told) == {"old.py", "broken.py", "null.py"}
    assert told["old.py"][0] == 2
    assert "Python 2" in told["old.py"][1]
    assert told["broken.py"][0] == 1


def test_encodings(tmp_path: Path) -> None:
    """A declared encoding is read; what is in another one than declared is told."""
    (tmp_path / "declared.py").write_bytes("# -*- coding: latin-1 -*-\n# é\n".encode("latin-1") + BAD.encode())
    (tmp_path / "marked.py").write_bytes(b"\xef\xbb\xbf" + BAD.encode())
    (tmp_path / "undeclared.py").write_bytes("# é\n".encode("latin-1") + BAD.encode())
    (tmp_path / "unknown.py").write_bytes(b"# coding: no-such-thing\n" + BAD.encode())
    report = audit(tmp_path)
    assert [(finding.path, finding.line) for finding in report.findings] == [("declared.py", 4), ("marked.py", 2)]
    assert [problem.path for problem in report.problems] == ["undeclared.py", "unknown.py"]


def test_form_feeds(tmp_path: Path) -> None:
    """A form feed, or another character that only Python's splitlines takes for a line's end, moves no line."""
    (tmp_path / "a.py").write_text("x = 1\n\x0c\n# \u2028 \x85\n" + BAD, "utf-8")
    [finding] = audit(tmp_path).findings
    assert (finding.line, finding.text) == (5, "cache.clear()")


def test_a_large_file(tmp_path: Path) -> None:
    """What is larger than allowed is told, not read."""
    (tmp_path / "made.py").write_text("x = 1\n" * 900_000)
    report = audit(tmp_path)
    assert report.files == 0
    assert "bytes" in report.problems[0].why


@pytest.mark.parametrize(
    "code",
    [
        "type Name = str\n",
        "def f[T](x: T) -> T: ...\n",
        'd = {}\nx = f"{d["a"]} {"\\n".join(d)}"\n',
        "try:\n    pass\nexcept A, B:\n    pass\n",
    ],
)
def test_newer_syntax(tmp_path: Path, code: str) -> None:
    """Code in a newer Python than this one is audited, too, and lines stay."""
    (tmp_path / "new.py").write_text(code + BAD)
    report = audit(tmp_path)
    assert report.problems == ()
    assert [finding.line for finding in report.findings] == [(code + BAD).count("\n")]


def test_deep_nesting(tmp_path: Path) -> None:
    """An expression that is nested too deeply is told, not a traceback."""
    (tmp_path / "deep.py").write_text("x = " + " + ".join(["a"] * 20_000) + "\n")
    (tmp_path / "good.py").write_text(BAD)
    report = audit(tmp_path)
    assert [finding.path for finding in report.findings] == ["good.py"]
    assert [problem.path for problem in report.problems] == ["deep.py"]


def test_long_chains(tmp_path: Path) -> None:
    """Hundreds of calls on one another, and functions that call one another in a circle, end."""
    chain = "x = redis" + ".filter(a)" * 300 + ".keys('a*')\n"
    circle = "".join(f"def f{n}(cache=None):\n    return f{(n + 1) % 90}(f{(n + 7) % 90}(cache))\n" for n in range(90))
    (tmp_path / "a.py").write_text(f"{BAD}{chain}{circle}f0(f1()).delete_pattern('x*')\n")
    report = audit(tmp_path)
    assert report.problems == ()
    assert [finding.rule for finding in report.findings] == ["UNS003", "UNS001"]


def test_a_notebook(tmp_path: Path) -> None:
    """Code cells are read, with their imports; a finding says its cell; magics and broken cells do no harm."""
    cells = [
        {"cell_type": "markdown", "source": ["# not code"]},
        {
            "cell_type": "code",
            "source": ["%matplotlib inline\n", "!pip install redis\n", "import redis\n", "r = redis.Redis()"],
        },
        {"cell_type": "code", "source": "def broken(:"},
        {"cell_type": "code", "source": ["%%bash\n", "ls"]},
        {"cell_type": "code", "source": ["x = 1\n", "r.delete(*r.keys('a*'))\n"]},
    ]
    (tmp_path / "book.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}))
    (tmp_path / "bad.ipynb").write_text("[]")
    report = audit(tmp_path)
    assert [(finding.rule, finding.cell, finding.line) for finding in report.findings] == [("UNS001", 5, 2)]
    assert sorted(problem.path for problem in report.problems) == ["bad.ipynb", "book.ipynb"]


def test_names_of_any_bytes(tmp_path: Path) -> None:
    """A file whose name is no UTF-8, and a notebook with half a character, are audited and can be written as JSON."""
    (tmp_path / os.fsdecode(b"a\xff.py")).write_text(BAD)
    (tmp_path / "b.ipynb").write_text(json.dumps({"cells": [{"cell_type": "code", "source": BAD + "x = '\ud800'"}]}))
    report = audit(tmp_path)
    assert len(report.findings) == 2
    assert msgspec.json.encode(report)


def test_one_file(tmp_path: Path) -> None:
    """A file may be named instead of a folder."""
    (tmp_path / "tests.py").write_text(BAD)
    assert [finding.path for finding in audit(tmp_path / "tests.py").findings] == ["tests.py"]


def test_nothing_there(tmp_path: Path) -> None:
    """A path that is not there is an error that names it."""
    with pytest.raises(AuditError, match="nowhere"):
        audit(tmp_path / "nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    """It is told."""
    (tmp_path / "secret.py").write_text(BAD)
    (tmp_path / "secret.py").chmod(0)
    assert "cannot be read" in audit(tmp_path).problems[0].why


def test_a_folder_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and the rest is audited."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "open.py").write_text(BAD)
    scandir = os.scandir

    def denied(folder: Path) -> Any:
        if folder.name == "secret":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("unstale.tools.audit.sources.os.scandir", denied)
    report = audit(tmp_path)
    assert [finding.path for finding in report.findings] == ["open.py"]
    assert [(problem.path, problem.why) for problem in report.problems] == [
        ("secret", "This folder is not audited: Permission denied.")
    ]


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    """A link to itself, and one to what is not there, are no files; the rest is audited."""
    (tmp_path / "a.py").write_text(BAD)
    (tmp_path / "itself.py").symlink_to("itself.py")
    (tmp_path / "nowhere.py").symlink_to("gone.py")
    report = audit(tmp_path)
    assert [finding.path for finding in report.findings] == ["a.py"]
    assert report.problems == ()
    assert settings_of(tmp_path / "itself.py") == Settings()
    with pytest.raises(AuditError, match="There is no file or folder"):
        audit(tmp_path / "itself.py")


def test_settings(tmp_path: Path) -> None:
    """They are read from the nearest pyproject.toml; what is unknown there is an error that names it."""
    (tmp_path / "src").mkdir()
    (tmp_path / "pyproject.toml").write_text(
        '[tool.unstale.audit]\nexclude = ["made/"]\nignore = ["UNS009"]\ncache-names = ["store"]\n'
    )
    assert settings_of(tmp_path / "src") == Settings(exclude=("made/",), ignore=("UNS009",), cache_names=("store",))
    (tmp_path / "pyproject.toml").write_text("[tool.unstale.audit]\nexclud = []\n")
    with pytest.raises(AuditError, match="exclud"):
        settings_of(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool.unstale.audit\n")
    with pytest.raises(AuditError, match="cannot be read"):
        settings_of(tmp_path)


def test_names_of_a_projects_caches(tmp_path: Path) -> None:
    """What the project calls its caches is one, where nothing else says so."""
    (tmp_path / "a.py").write_text(
        "def f(store, key):\n    if not store.get(key):\n        store.set(key, load(key))\n"
    )
    assert audit(tmp_path).findings == ()
    assert [finding.rule for finding in audit(tmp_path, Settings(cache_names=("store",))).findings] == ["UNS005"]


def test_an_unknown_rule(tmp_path: Path) -> None:
    """It is an error that lists the rules."""
    with pytest.raises(AuditError, match="UNS001, UNS002"):
        audit(tmp_path, Settings(select=("UNS999",)))


def test_an_interrupted_run(tmp_path: Path) -> None:
    """What was found until then is given, and says that it is not all."""
    (tmp_path / "a.py").write_text("from django.core.cache import cache\ncache.delete_pattern('x*')\ncache.clear()\n")

    def watch(what: str) -> None:
        if what.startswith("UNS003"):
            raise KeyboardInterrupt

    report = audit(tmp_path, watch=watch)
    assert report.interrupted
    assert [finding.rule for finding in report.findings] == ["UNS001"]
