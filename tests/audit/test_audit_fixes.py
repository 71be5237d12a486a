"""What --fix rewrites, what it leaves, and that what it has rewritten works."""
# ruff: noqa: E501 - code as it stands in files

from __future__ import annotations

from pathlib import Path

import pytest

from unstale.tools.audit import AuditError, Settings, audit
from unstale.tools.audit.fixes import Fix, fixes, write

HEAD = "from django.core.cache import cache\nfrom django.db import transaction\n\n\n"


def fixed(folder: Path, code: str) -> tuple[str, list[Fix]]:
    """One file after --fix --yes."""
    (folder / "a.py").write_text(code, "utf-8", newline="")
    made = fixes(folder, audit(folder), Settings())
    write(folder, made)
    return (folder / "a.py").read_bytes().decode(), made


def rewritten(folder: Path, before: str, after: str) -> None:
    """A function becomes another one, and that one stays as it is."""
    seen, _ = fixed(folder, HEAD + before)
    assert seen == HEAD + after
    assert fixed(folder, seen)[0] == seen


def left(folder: Path, code: str) -> str:
    """A function stays as it is; why."""
    seen, made = fixed(folder, HEAD + code)
    assert seen == HEAD + code
    return " ".join(said for each in made for said in each.left)


def test_a_fill(tmp_path: Path) -> None:
    """Get, missing, load and set are get_or_set; comments and the rest stay."""
    rewritten(
        tmp_path,
        "def f(pk):\n    # look\n    found = cache.get(f'a:{pk}')  # here\n    if found is None:\n        found = load(pk, [1,  2])\n        cache.set(f'a:{pk}', found, timeout=60)\n    return found\n",
        "def f(pk):\n    # look\n    found = cache.get_or_set(f'a:{pk}', lambda: load(pk, [1,  2]), timeout=60)  # here\n    return found\n",
    )


@pytest.mark.parametrize(
    "body",
    [
        "    if not found:\n        found = load(pk)\n        cache.set(pk, found)\n",  # an empty one was loaded each time
        "    if found is None:\n        log()\n        found = load(pk)\n        cache.set(pk, found)\n",
        "    if found is None:\n        # slow\n        found = load(pk)\n        cache.set(pk, found)\n",
        "    if found is None:\n        found = load(pk)\n        cache.set(pk, found.rows)\n",
        "    if found is None:\n        found = load(pk)\n        cache.set(pk, found)\n    else:\n        log()\n",
    ],
)
def test_a_fill_that_is_left(tmp_path: Path, body: str) -> None:
    """Where the shape is another one nothing is done, and it is said."""
    assert "UNS005 is left" in left(tmp_path, f"def f(pk):\n    found = cache.get(pk)\n{body}    return found\n")


def test_an_awaited_fill(tmp_path: Path) -> None:
    """A lambda cannot await."""
    code = "async def f(pk):\n    found = cache.get(pk)\n    if found is None:\n        found = await load(pk)\n        cache.set(pk, found)\n    return found\n"
    assert "UNS005 is left" in left(tmp_path, code)


def test_before_commit(tmp_path: Path) -> None:
    """It is put off; what it is given is computed where it stood."""
    seen, _ = fixed(
        tmp_path,
        HEAD
        + "def f(user):\n    with transaction.atomic():\n        user.save()\n        cache.delete(f'u:{user.pk}')  # gone\n",
    )
    assert "        transaction.on_commit(partial(cache.delete, f'u:{user.pk}'))  # gone\n" in seen
    assert "from functools import partial\n" in seen
    assert [finding for finding in audit(tmp_path).findings if finding.rule == "UNS004"] == []


@pytest.mark.parametrize(
    "code",
    [
        "def f(user):\n    with transaction.atomic():\n        return cache.delete('x')\n",
        "def f(user):\n    with transaction.atomic(using='other'):\n        cache.delete('x')\n",
        "def f(user, partial=None):\n    with transaction.atomic():\n        user.save()\n        gone = cache.delete('x')\n",
        "def partial(): ...\n\n\ndef f(user):\n    with transaction.atomic():\n        cache.delete('x')\n",
    ],
)
def test_before_commit_that_is_left(tmp_path: Path, code: str) -> None:
    """A result that is used, another database, a name that is taken: nothing is done, and it is said."""
    assert "UNS004 is left" in left(tmp_path, code)


def test_keys_and_delete_many(tmp_path: Path) -> None:
    """In one statement or in two."""
    rewritten(
        tmp_path,
        "def f(pk):\n    cache.delete_many(cache.keys(f'a:{pk}:*'))\n    keys = cache.keys('b:*')  # all\n    cache.delete_many(keys)\n",
        "def f(pk):\n    cache.delete_pattern(f'a:{pk}:*')\n    cache.delete_pattern('b:*')  # all\n",
    )


def test_keys_that_are_used(tmp_path: Path) -> None:
    """Then they are needed."""
    code = "def f():\n    keys = cache.keys('b:*')\n    cache.delete_many(keys)\n    return len(keys)\n"
    assert fixed(tmp_path, HEAD + code)[0] == HEAD + code


def test_line_ends_and_encodings_stay(tmp_path: Path) -> None:
    """A file keeps both."""
    code = "# coding: latin-1\r\n# é\r\nfrom django.core.cache import cache\r\n\r\ndef f():\r\n    cache.delete_many(cache.keys('é*'))\r\n"
    (tmp_path / "a.py").write_bytes(code.encode("latin-1"))
    write(tmp_path, fixes(tmp_path, audit(tmp_path), Settings()))
    assert (tmp_path / "a.py").read_bytes() == code.replace(
        "delete_many(cache.keys('é*'))", "delete_pattern('é*')"
    ).encode("latin-1")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            '{\n    "default": {\n        "BACKEND": "django_redis.cache.RedisCache",  # fast\n        "OPTIONS": {\n            "X": 1,  # one\n        },\n    },\n}',
            '{\n    "default": {\n        "BACKEND": "unstale.contrib.django.UnstaleCache",  # fast\n        "OPTIONS": {\n            "TAG_PATTERNS": ["u:{pk}:*"],\n            "X": 1,  # one\n        },\n    },\n}',
        ),
        (
            "{'default': {'BACKEND': 'django_redis.cache.RedisCache'}}",
            "{'default': {'BACKEND': 'unstale.contrib.django.UnstaleCache', \"OPTIONS\": {\"TAG_PATTERNS\": [\"u:{pk}:*\"]}}}",
        ),
        (
            '{"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}',
            '{"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}',
        ),
        (
            '{"default": {"BACKEND": "django_redis.cache.RedisCache"}, "other": {"BACKEND": "django_redis.cache.RedisCache"}}',
            '{"default": {"BACKEND": "unstale.contrib.django.UnstaleCache", "OPTIONS": {"TAG_PATTERNS": ["u:{pk}:*"]}}, "other": {"BACKEND": "django_redis.cache.RedisCache"}}',
        ),
    ],
)
def test_settings(tmp_path: Path, before: str, after: str) -> None:
    """The backend of the cache whose keys are deleted by pattern is unstale's then, with the patterns, and the finding is gone."""
    (tmp_path / "settings.py").write_text(f"CACHES = {before}\n")
    fixed(tmp_path, HEAD + "def f(pk):\n    cache.delete_pattern(f'u:{pk}:*')\n")
    assert (tmp_path / "settings.py").read_text() == f"CACHES = {after}\n"
    again = audit(tmp_path)
    assert [finding.rule for finding in again.findings] == ([] if "unstale" in after else ["UNS001"])
    assert [each for each in fixes(tmp_path, again, Settings()) if each.new != each.old] == []


def test_a_file_that_has_changed(tmp_path: Path) -> None:
    """It is not overwritten."""
    (tmp_path / "a.py").write_text(HEAD + "def f():\n    cache.delete_many(cache.keys('b:*'))\n")
    made = fixes(tmp_path, audit(tmp_path), Settings())
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(AuditError, match=r"a\.py has changed"):
        write(tmp_path, made)
    assert (tmp_path / "a.py").read_text() == "x = 1\n"
