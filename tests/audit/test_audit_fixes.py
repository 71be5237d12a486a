"""What --fix rewrites, what it leaves, and that what it has rewritten works."""
# ruff: noqa: E501 - code as it stands in files

from __future__ import annotations

import json
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
        "@transaction.atomic(using='other')\ndef f(user):\n    cache.delete('x')\n",
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


@pytest.mark.parametrize(
    "body",
    [
        "    for key in cache.iter_keys('product:*'):\n        cache.delete(key)\n",
        "    for key in cache.keys('product:*'): cache.delete(key)\n",
        "    [cache.delete(key) for key in cache.iter_keys('product:*')]\n",
    ],
)
def test_a_loop_that_deletes(tmp_path: Path, body: str) -> None:
    """A walk that does nothing but delete what it finds is one pattern delete; what stands above it stays."""
    rewritten(
        tmp_path,
        f"def f():\n    # all\n{body}    return 1\n",
        "def f():\n    # all\n    cache.delete_pattern('product:*')\n    return 1\n",
    )


@pytest.mark.parametrize(
    "body",
    [
        "    for key in cache.iter_keys('product:*'):\n        cache.delete(key)\n        count += 1\n",
        "    for key in cache.iter_keys('product:*'):\n        cache.delete(key, 2)\n",
        "    for key in cache.iter_keys('product:*', version=2):\n        cache.delete(key)\n",
        "    for key in cache.iter_keys('product:*'):\n        other.delete(key)\n",
        "    for key in cache.iter_keys('product:*'):\n        # slow\n        cache.delete(key)\n",
        "    for key in cache.iter_keys('product:*'):\n        cache.delete(key)\n    else:\n        log()\n",
        "    gone = [cache.delete(key) for key in cache.iter_keys('product:*')]\n    log(gone)\n",
        "    [cache.delete(key) for key in cache.iter_keys('product:*') if count]\n",
        "    cache.delete_many(cache.keys('product:*', version=2))\n",
    ],
)
def test_a_loop_that_is_left(tmp_path: Path, body: str) -> None:
    """Of another shape it is left, and said; its pattern is not declared, since that would not help."""
    caches = "CACHES = {'default': {'BACKEND': 'django_redis.cache.RedisCache'}}\n"
    (tmp_path / "settings.py").write_text(caches)
    code = f"from django.core.cache import caches\n\nother = caches['default']\n\n\ndef f(count):\n{body}"
    assert "UNS001 is left: its keys are walked in another shape" in left(tmp_path, code)
    assert (tmp_path / "settings.py").read_text() == caches


def test_a_pattern_delete_that_was_put_off(tmp_path: Path) -> None:
    """It is found and declared as before: to put it off does not hide it."""
    code = f"{HEAD}def f(x):\n    with transaction.atomic():\n        cache.delete_pattern(f'a:{{x}}:*')\n"
    fixed(tmp_path, code)
    [finding] = audit(tmp_path).findings
    assert (finding.rule, finding.patterns, "on_commit" in finding.text) == ("UNS001", ("a:{x}:*",), True)
    (tmp_path / "settings.py").write_text("CACHES = {'default': {'BACKEND': 'django_redis.cache.RedisCache'}}\n")
    write(tmp_path, fixes(tmp_path, audit(tmp_path), Settings()))
    assert audit(tmp_path).findings == ()


def test_a_loop_in_a_transaction(tmp_path: Path) -> None:
    """The pattern delete that it becomes is put off, as its deletes would be."""
    walks = "        for key in cache.iter_keys('a:*'):\n            cache.delete(key)\n        cache.delete_many(cache.keys('b:*'))\n        keys = cache.keys('c:*')\n        cache.delete_many(keys)\n"
    seen, made = fixed(tmp_path, f"{HEAD}def f(user):\n    with transaction.atomic():\n        user.save()\n{walks}")
    put_off = "".join(f"        transaction.on_commit(partial(cache.delete_pattern, '{each}:*'))\n" for each in "abc")
    assert seen.endswith(f"        user.save()\n{put_off}")
    assert sum("put off until COMMIT" in each for one in made for each in one.done) == 3


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("import os\n\nfrom django.core.cache import cache\n", "import os\nfrom functools import partial\n\nfrom django.core.cache import cache\nfrom django.db import transaction\n"),
        ("from abc import ABC\nfrom json import dumps\n\nfrom django.core.cache import cache\n", "from abc import ABC\nfrom functools import partial\nfrom json import dumps\n\nfrom django.core.cache import cache\nfrom django.db import transaction\n"),
        ('"""A."""\n\nfrom __future__ import annotations\n\nfrom django.core.cache import cache\n\nfrom shop.models import x\n', '"""A."""\n\nfrom __future__ import annotations\n\nfrom functools import partial\n\nfrom django.core.cache import cache\nfrom django.db import transaction\n\nfrom shop.models import x\n'),
        ("# of it\nimport json\n\nfrom django.core.cache import cache\nfrom rest_framework import views\n\nfrom .models import x\n", "# of it\nimport json\nfrom functools import partial\n\nfrom django.core.cache import cache\nfrom django.db import transaction\nfrom rest_framework import views\n\nfrom .models import x\n"),
        ("from functools import wraps\n\nfrom shop.models import cache\n", "from functools import partial, wraps\n\nfrom django.db import transaction\n\nfrom shop.models import cache\n"),
    ],
)  # fmt: skip
def test_where_imports_go(tmp_path: Path, before: str, after: str) -> None:
    """Where isort would have put them, if those around are plainly sorted."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/models.py").write_text("from django.core.cache import cache\n\nx = 1\n")
    code = "\n\ndef f(user):\n    with t.atomic():\n        cache.delete('x')\n".replace("t.", "transaction.")
    seen, _ = fixed(tmp_path, before + code)
    assert seen.partition("\n\n\ndef")[0] + "\n" == after


@pytest.mark.parametrize("first", ["from shop.models import x\nimport os", "import os\nimport abc", "import os, abc"])
def test_where_imports_go_that_are_not_sorted(tmp_path: Path, first: str) -> None:
    """Then there is no right place: they stay together as they were, and the new ones are there."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/models.py").write_text("x = 1\n")
    code = (
        f"{first}\nfrom django.core.cache import cache\n\n\n@transaction.atomic\ndef f(user):\n    cache.delete('x')\n"
    )
    seen, _ = fixed(tmp_path, code)
    assert f"{first}\nfrom django.core.cache import cache\n" in seen
    assert {"from functools import partial", "from django.db import transaction"} <= set(seen.splitlines())


def test_a_notebook_is_left(tmp_path: Path) -> None:
    """And said to be."""
    cell = ["from django.core.cache import cache\n", "cache.delete_pattern('a:*')\n"]
    notebook = {"cells": [{"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}  # fmt: skip
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    [one] = fixes(tmp_path, audit(tmp_path), Settings())
    assert one.left == ("a.ipynb:cell 1:2: UNS001 is left: it is in a notebook.",)


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
            "{'default': {'BACKEND': 'unstale.contrib.django.UnstaleCache', \"OPTIONS\": {\"TAG_PATTERNS\": [\n    \"u:{pk}:*\",\n]}}}",
        ),
        (
            '{"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}',
            '{"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}',
        ),
        (
            '{"default": {"BACKEND": "django_redis.cache.RedisCache"}, "other": {"BACKEND": "django_redis.cache.RedisCache"}}',
            '{"default": {"BACKEND": "unstale.contrib.django.UnstaleCache", "OPTIONS": {"TAG_PATTERNS": [\n    "u:{pk}:*",\n]}}, "other": {"BACKEND": "django_redis.cache.RedisCache"}}',
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


TENANT = "    cache.delete_pattern(f'tenant:{x}:*')\n"
PAGE = "    caches['pages'].delete_pattern(f'page:{x}:*')\n"
DELETES = f"from django.core.cache import cache, caches\n\n\ndef f(x):\n{TENANT}{PAGE}"


def of_settings(folder: Path, caches: str, code: str = DELETES) -> tuple[str, str]:
    """CACHES after --fix, and what was said to be left."""
    (folder / "settings.py").write_text(f"INSTALLED_APPS = ['unstale.contrib.django']\nCACHES = {caches}\n")
    made = fixed(folder, code)[1]
    said = (folder / "settings.py").read_text().partition("CACHES = ")[2].rstrip("\n")
    return said, "\n".join(each for one in made for each in one.left)


def two_caches(default: str, *pages: str) -> str:
    """CACHES with two aliases, the second one with these patterns."""
    listed = ", ".join(f'"{each}"' for each in pages)
    return f"""{{
    "default": {default},
    "pages": {{
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "OPTIONS": {{"TAG_PATTERNS": [{listed}]}},
    }},
}}"""


def test_each_cache_has_its_own_patterns(tmp_path: Path) -> None:
    """An alias is told what is deleted in it, and nothing of what is deleted in another one."""
    seen, left_over = of_settings(tmp_path, two_caches('{"BACKEND": "django_redis.cache.RedisCache"}', "old:*"))
    default = """{"BACKEND": "unstale.contrib.django.UnstaleCache", "OPTIONS": {"TAG_PATTERNS": [
        "tenant:{x}:*",
    ]}}"""
    assert seen == two_caches(default, "old:*", "page:{x}:*")
    assert left_over == ""
    assert audit(tmp_path).findings == ()


@pytest.mark.parametrize(
    ("default", "why"),
    [
        (
            '{"BACKEND": os.environ.get("CACHE_BACKEND", "django_redis.cache.RedisCache")}',
            "its BACKEND is not written out.",
        ),
        ('dict(BACKEND="django_redis.cache.RedisCache")', "it is not written out as {…}."),
        ('{"BACKEND": "shop.Cache"}', "its BACKEND is shop.Cache."),
        ('{**BASE, "BACKEND": "django_redis.cache.RedisCache"}', "its OPTIONS are not written out."),
        ('{"BACKEND": "django_redis.cache.RedisCache", "OPTIONS": dict(A=1)}', "its OPTIONS are not written out."),
        (
            '{"BACKEND": "django_redis.cache.RedisCache", "OPTIONS": {"TAG_PATTERNS": PATTERNS}}',
            "its TAG_PATTERNS are not written out as a list.",
        ),
    ],
)
def test_a_cache_that_is_not_written_out(tmp_path: Path, default: str, why: str) -> None:
    """It is left with the reason, its findings stay and are said to be left, and no other alias is told its pattern."""
    seen, left_over = of_settings(tmp_path, two_caches(default, "page:{x}:*"))
    assert seen == two_caches(default, "page:{x}:*")
    assert left_over == (
        f'a.py:5: UNS001 is left: CACHES["default"] does not declare its pattern, and is not rewritten.\n'
        f'settings.py: CACHES["default"] is left: {why}'
    )
    assert [(each.rule, each.line) for each in audit(tmp_path).findings] == [("UNS001", 5)]


@pytest.mark.parametrize(
    ("caches", "why"),
    [
        ("get_caches()", 'CACHES["default"] does not declare its pattern, and is not rewritten.'),
        (two_caches('{"BACKEND": "django_redis.cache.RedisCache"}'), "it cannot be told which of CACHES it is."),
    ],
)
def test_a_pattern_delete_that_is_left(tmp_path: Path, caches: str, why: str) -> None:
    """Where no alias is found for it, nothing is declared, and it is said."""
    receiver = "cache" if "get" in caches else "caches[name]"
    code = f"from django.core.cache import cache, caches\n\n\ndef f(x, name):\n    {receiver}.delete_pattern(f'a:{{x}}:*')\n"
    assert of_settings(tmp_path, caches, code) == (caches, f"a.py:5: UNS001 is left: {why}")


def test_patterns_in_a_list_of_several_lines(tmp_path: Path) -> None:
    """A new one has a line of its own, and comments stay where they were."""
    listed = '{\n    "default": {\n        "BACKEND": "unstale.contrib.django.UnstaleCache",\n        "OPTIONS": {\n            "TAG_PATTERNS": [\n                "a:{x}:*",  # one\n                "b:{x}:*",%s\n            ],\n        },\n    },\n}'
    code = DELETES.replace(PAGE, "")
    assert of_settings(tmp_path, listed % "", code) == (listed % '\n                "tenant:{x}:*",', "")


@pytest.mark.parametrize(
    ("apps", "is_told"),
    [("['django']", True), ("['unstale.contrib.django.outbox']", True), ("['unstale.contrib.django']", False)],
)
def test_the_app(tmp_path: Path, apps: str, is_told: bool) -> None:
    """That INSTALLED_APPS lacks it is said, where a cache was put on unstale; it is not rewritten."""
    (tmp_path / "apps.py").write_text(f"INSTALLED_APPS = {apps}\n")
    (tmp_path / "settings.py").write_text("CACHES = {'default': {'BACKEND': 'django_redis.cache.RedisCache'}}\n")
    made = fixed(tmp_path, DELETES.replace(PAGE, ""))[1]
    assert any('INSTALLED_APPS wants "unstale.contrib.django"' in each for one in made for each in one.left) is is_told
    assert (tmp_path / "apps.py").read_text() == f"INSTALLED_APPS = {apps}\n"


def test_a_file_that_has_changed(tmp_path: Path) -> None:
    """It is not overwritten."""
    (tmp_path / "a.py").write_text(HEAD + "def f():\n    cache.delete_many(cache.keys('b:*'))\n")
    made = fixes(tmp_path, audit(tmp_path), Settings())
    (tmp_path / "a.py").write_text("x = 1\n")
    with pytest.raises(AuditError, match=r"a\.py has changed"):
        write(tmp_path, made)
    assert (tmp_path / "a.py").read_text() == "x = 1\n"
