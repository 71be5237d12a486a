"""The callers of a finding: every call in the project that reaches it, to any depth, and no other."""

from __future__ import annotations

from pathlib import Path

from unstale.tools.audit import audit

CASES = Path(__file__).parent / "cases"


def callers(folder: Path, path: str, rule: str = "UNS001") -> list[set[str]]:
    """Of each finding in a file of a case, in the order of its lines."""
    found = [each for each in audit(CASES / folder).findings if (each.path, each.rule) == (path, rule)]
    return [{f"{one.path}:{one.symbol}" for one in each.callers} for each in found]


def test_through_modules_and_aliases() -> None:
    """An alias of an import, a method that calls it, a partial that is put off, a generator between."""
    bust, listed, found, *_ = callers(Path("django_helpers"), "shop/cache_utils.py")
    assert bust == {"shop/views.py:ProductMixin.perform_update"}
    assert listed == {"shop/views.py:ProductMixin.perform_destroy"}
    assert found == {"shop/cache_utils.py:drop", "shop/views.py:rename"}


def test_methods() -> None:
    """An attribute that was injected, an inherited method, an abstract one."""
    [walk] = [each for each in callers(Path("wrappers_deep"), "base.py") if len(each) > 1]
    assert walk == {
        "base.py:RedisCache.remove_matching",
        "base.py:Child.purge",
        "use.py:Service.changed",
        "use.py:start",
    }


def test_a_decorator() -> None:
    """Putting a decorator on a function is a call of what it wraps."""
    assert callers(Path("decorated"), "decorators.py") == [{"decorators.py:"}]


def test_a_decorator_that_is_an_object(tmp_path: Path) -> None:
    """Putting an object on a function is a call of its `__call__`; making one elsewhere is not."""
    (tmp_path / "a.py").write_text(
        "import redis\n\nr = redis.Redis()\n\n\nclass Forgets:\n    def __init__(self, name):\n"
        "        self.name = name\n\n    def __call__(self, function):\n        def wrapper(*args):\n"
        "            r.delete(*r.keys(self.name))\n            return function(*args)\n\n        return wrapper\n\n\n"
        "@Forgets('rows*')\ndef change():\n    pass\n\n\nspare = Forgets('other*')\n"
    )
    [finding] = audit(tmp_path).findings
    assert [each.line for each in finding.callers] == [18]


def test_tasks() -> None:
    """A task that is sent is called, also in what is put off until COMMIT."""
    [task] = callers(Path("pipelines_and_tasks"), "tasks.py")
    assert task == {"tasks.py:later", "tasks.py:later.<lambda>"}


def test_a_receiver_that_is_not_known(tmp_path: Path) -> None:
    """The project's only method of that name is called; a name that anything may have proves nothing."""
    (tmp_path / "a.py").write_text(
        "import redis\n\n\nclass Pages:\n    def __init__(self):\n        self.r = redis.Redis()\n\n"
        "    def drop_pages(self):\n        self.r.delete(*self.r.keys('p*'))\n\n"
        "    def run(self):\n        self.r.delete(*self.r.keys('q*'))\n\n\n"
        "def act(pages):\n    pages.drop_pages()\n    pages.run()\n"
    )
    first, second = audit(tmp_path).findings
    assert [each.symbol for each in first.callers] == ["act"]
    assert second.callers == ()
