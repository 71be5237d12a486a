"""The TAG_PATTERNS that are proposed for a pattern delete, from every way in which people write one."""
# ruff: noqa: E501 - code as it stands in files

from __future__ import annotations

from pathlib import Path

import pytest

from unstale.contrib.django.patterns import Matcher
from unstale.tools.audit import audit

HEAD = "from django.core.cache import cache\n\nPREFIX = 'shop'\nUSER = 'user:%s:*'\nPAGE = 'page:{slug}:*'\n\n\n"


def proposed(folder: Path, code: str) -> list[tuple[str, ...]]:
    """The patterns of each finding."""
    (folder / "a.py").write_text(HEAD + code)
    return [finding.patterns for finding in audit(folder).findings if finding.rule == "UNS001"]


@pytest.mark.parametrize(
    ("written", "pattern"),
    [
        ('f"user:{user.pk}:*"', "user:{user_pk}:*"),
        ('f"user:{user_id}:orders:{year}:*"', "user:{user_id}:orders:{year}:*"),
        ('"user:%s:*" % user.pk', "user:{user_pk}:*"),
        ('"user:%(pk)s:*" % {"pk": user.pk}', "user:{user_pk}:*"),
        ("USER % user_id", "user:{user_id}:*"),
        ('"user:{}:*".format(user_id)', "user:{user_id}:*"),
        ("PAGE.format(slug=page.slug)", "page:{page_slug}:*"),
        ('"user:" + str(user_id) + ":*"', "user:{user_id}:*"),
        ('":".join(["user", str(user_id), "*"])', "user:{user_id}:*"),
        ('f"{PREFIX}:user:{user_id}:*"', "shop:user:{user_id}:*"),
        ('f"*.{prefix}.*"', "*.{prefix}.*"),
        ('"*user_list*"', "*user_list*"),
        ('f"a:{one.pk}:{two.pk}:*"', "a:{one_pk}:{two_pk}:*"),
        ('f"a:{user.pk}:{user.pk}:*"', "a:{user_pk}:{user_pk2}:*"),
        ('"braces{}*"', "braces{{}}*"),
    ],
)
def test_a_pattern(tmp_path: Path, written: str, pattern: str) -> None:
    """Its values become placeholders, and unstale's backend takes it."""
    assert proposed(
        tmp_path, f"def f(user, user_id, year, page, prefix, one, two):\n    cache.delete_pattern({written})\n"
    ) == [(pattern,)]
    assert Matcher([pattern]).patterns


@pytest.mark.parametrize("written", ['"*"', "unknown()", 'f"user{user_id}*"'])
def test_no_pattern(tmp_path: Path, written: str) -> None:
    """Where none can be declared (every key, an unknown text, a placeholder beside a wildcard) none is proposed."""
    assert proposed(tmp_path, f"def f(user_id):\n    cache.delete_pattern({written})\n") == [()]


def test_a_helper_s_callers(tmp_path: Path) -> None:
    """What a helper is given is read from its callers, also two calls away; each pattern once."""
    code = (
        "def drop(pattern):\n    cache.delete_pattern(pattern)\n\n\n"
        "def drop_user(pk):\n    drop(f'user:{pk}:*')\n\n\n"
        "def drop_prefix(prefix):\n    drop(f'{prefix}:*')\n\n\n"
        "def all_of_it(user):\n    drop_user(user.pk)\n    drop_prefix('orders')\n    drop_prefix('carts')\n    drop('user:%s:*' % user.pk)\n"
    )
    [found] = proposed(tmp_path, code)
    assert set(found) >= {"user:{pk}:*", "orders:*", "carts:*"}


def test_a_prefix_beside_a_wildcard(tmp_path: Path) -> None:
    """`*{name}_list*` has no placeholder that could be told; what its callers give can be declared."""
    code = "def drop(name):\n    cache.delete_pattern(f'*{name}_list*')\n\n\ndef act():\n    drop('user')\n    drop('order')\n"
    assert proposed(tmp_path, code) == [("*user_list*", "*order_list*")]


@pytest.mark.parametrize("call", ["drop(f'item:{pk}:*', 'items:*')", "drop_all([f'item:{pk}:*', 'items:*'])"])
def test_several_at_once(tmp_path: Path, call: str) -> None:
    """A helper that is given several patterns has those of all its callers."""
    loop = "    for pattern in patterns:\n        cache.delete_pattern(pattern)\n\n\n"
    name, star = ("drop", "*") if call.startswith("drop(") else ("drop_all", "")
    assert proposed(tmp_path, f"def {name}({star}patterns):\n{loop}def act(pk):\n    {call}\n") == [
        ("item:{pk}:*", "items:*")
    ]


def test_what_is_declared_is_no_finding(tmp_path: Path) -> None:
    """A delete_pattern that the settings declare to unstale's backend is one write; another one is found."""
    settings = 'CACHES = {"default": {"BACKEND": "unstale.contrib.django.UnstaleCache", "OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"]}}}\n'
    (tmp_path / "settings.py").write_text(settings)
    code = (
        "def f(user):\n    cache.delete_pattern(f'user:{user.pk}:*')\n    cache.delete_pattern(f'cart:{user.pk}:*')\n"
    )
    assert proposed(tmp_path, code) == [("cart:{user_pk}:*",)]
