"""The model of the protocol (`python -m model`): every scenario is as expected, and the model speaks of this code."""

from __future__ import annotations

import ast
import gc
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import unstale
from model import engine, process, server, trace
from model.__main__ import main
from model.process import Model, Process, Step, Violation
from model.scenarios import SCENARIOS
from model.server import World, promise
from unstale.core import stamps
from unstale.stores import scripts

PACKAGE = Path(unstale.__file__).parent
MODEL = Path(engine.__file__).parent


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """A search keeps all that it makes, which would be gone through again and again."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.title)
def test_as_expected(scenario):
    """What is built holds in every interleaving, and each simplification of it is violated."""
    found = engine.Search(scenario.make(False)).run()
    assert found.outcome == scenario.expected, "\n".join(found.trace)


def test_every_mechanism_both_ways():
    """Each group has scenarios that hold and scenarios that are violated, and no two have the same name."""
    outcomes = {(one.group, one.expected) for one in SCENARIOS}
    assert outcomes == {(one.group, outcome) for one in SCENARIOS for outcome in (process.HOLDS, process.VIOLATED)}
    assert len({one.title for one in SCENARIOS}) == len(SCENARIOS)


def test_the_servers_scripts_are_the_codes():
    """The model has a function for each script that the stores send, and for no other."""
    built = {name for name, value in vars(scripts).items() if isinstance(value, scripts.Script)}
    assert set(server.SCRIPTS) == built
    assert len(built) == len(scripts.BY_DIGEST)


def test_the_lags_owner_is_the_codes():
    """One owner for all who close for `replica_lag`."""
    assert stamps.LAG.decode() == server.LAG


@cache
def names_in(path: Path) -> frozenset[str]:
    """What a module defines: its functions, classes and constants, and the methods of its classes."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found.update(f"{node.name}.{one.name}" for one in methods)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return frozenset(found)


def exists(name: str) -> bool:
    """Whether the package defines something by its dotted name, below `unstale`."""
    parts = name.split(".")
    for at in range(len(parts) - 1, 0, -1):
        below = PACKAGE.joinpath(*parts[:at])
        for path in (below.with_suffix(".py"), below / "__init__.py"):
            if path.is_file() and ".".join(parts[at:]) in names_in(path):
                return True
    return False


def is_name_of_code(text: str) -> bool:
    """Whether a text of the model's is the dotted name of something in the package."""
    first, _, rest = text.partition(".")
    is_module = (PACKAGE / first).is_dir() or (PACKAGE / f"{first}.py").is_file()
    return is_module and bool(rest) and all(part.isidentifier() for part in rest.split("."))


def names_of_code() -> set[str]:
    """All that the model names of the code, in its steps and its table."""
    texts = {
        node.value
        for path in MODEL.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    return {text for text in texts if is_name_of_code(text)}


def test_the_code_that_is_named_is_there():
    """Each function that a step or a rule of the model names is in the code."""
    named = names_of_code()
    assert len(named) > 40
    assert {name for name in named if not exists(name)} == set()


def counted(world: World) -> int:
    """Count up to two."""
    world.row += 1
    promise(world.row < 3, "three")
    return world.row


def test_the_search_finds_the_shortest_trace():
    """Of many ways to a violation the search tells a shortest one, by the processes' own names."""
    step = Step("counts", "", counted)

    def thrice():
        for _ in range(3):
            yield step

    model = Model(World(), process.copies(2, "P", thrice))
    found = engine.Search(model).run()
    assert found.violation == "three"
    assert [line.split()[1] for line in found.trace] == ["counts", "counts", "counts:"]
    assert {line[:3] for line in found.trace} <= {"P1:", "P2:"}


def test_what_can_never_happen_is_the_end():
    """Where everybody waits for ever the check at the end is made."""

    def waiting():
        yield Step("waits", "", lambda _: process.WAIT)

    def at_end(world):
        raise Violation(f"stuck at {world.row}")

    found = engine.Search(Model(World(), [Process("P", (waiting,))], at_end)).run()
    assert found.trace == ["nothing more happens: stuck at 0"]


def test_interchangeable_processes_count_once():
    """Two processes that do the same make fewer states than two that are told apart."""

    def once():
        yield Step("counts", "", counted)

    def too():
        yield Step("counts", "", counted)

    alike = engine.Search(Model(World(), process.copies(2, "P", once))).run()
    apart = engine.Search(Model(World(), [Process("P1", (once,)), Process("P2", (too,))])).run()
    assert alike.violation is apart.violation is None
    assert alike.states < apart.states


def test_the_table(capsys):
    """The command prints a line for each scenario, and the trace of a violation where it is asked to."""
    assert main(["tags", "-v"]) == 0
    out = capsys.readouterr().out
    assert "tags: not compared" in out
    assert "a hit of v0, though v1 is due" in out
    assert out.endswith("0 not as expected\n")


def test_the_table_where_something_is_not_as_expected(capsys, monkeypatch):
    """The command fails, and shows the trace, where an outcome is another one."""
    [wrong] = [one._replace(expected=process.HOLDS) for one in SCENARIOS if one.title == "tags: not compared"]
    monkeypatch.setattr("model.__main__.SCENARIOS", (wrong,))
    assert main([]) == 1
    out = capsys.readouterr().out
    assert "<-- not as expected" in out
    assert trace.show(("a", None)) == "(a, nothing)"


def test_a_search_without_end_is_given_up():
    """Beyond so many states a search says that it does not know."""

    def counting():
        yield Step("counts", "", lambda world: world.draw())

    process_for_ever = Process("P", (counting,), for_ever=True)
    found = engine.Search(Model(World(), [process_for_ever])).run(most=100)
    assert (found.outcome, found.violation) == (process.GIVEN_UP, None)
