"""The exceptions: one tree, and a docstring that is the message."""

from __future__ import annotations

import inspect
import pickle

import pytest

from unstale import errors
from unstale.errors import UnstaleError

CLASSES = [one for _, one in inspect.getmembers(errors, inspect.isclass)]
each = pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)

BUILTIN = {
    "ConfigurationError": ValueError,
    "InvalidKeyError": ValueError,
    "InvalidTagError": ValueError,
    "InvalidDurationError": ValueError,
    "DecodeError": ValueError,
    "EncodeError": TypeError,
    "LoaderError": TypeError,
    "NotACounterError": TypeError,
    "AbsentError": KeyError,
}
STORE = {
    "StoreClosedError": "StoreError",
    "StoreUnavailableError": "StoreError",
    "StoreFullError": "StoreError",
    "StoreRefusedError": "StoreError",
    "NotReplicatedError": "StoreError",
    "StoreTimeoutError": "StoreUnavailableError",
    "StoreAuthError": "StoreUnavailableError",
    "NotPrimaryError": "StoreUnavailableError",
    "PoolExhaustedError": "StoreUnavailableError",
    "WrongNodeError": "StoreUnavailableError",
    "BreakerOpenError": "StoreUnavailableError",
}


@each
def test_one_tree(kind: type[Exception]) -> None:
    """Every exception is an UnstaleError, so that one `except` catches all."""
    assert issubclass(kind, UnstaleError)


@pytest.mark.parametrize(("name", "builtin"), BUILTIN.items())
def test_builtin_bases(name: str, builtin: type[Exception]) -> None:
    """What a caller did wrong is also the built-in error that Python would raise."""
    assert issubclass(getattr(errors, name), builtin)


@pytest.mark.parametrize(("name", "base"), STORE.items())
def test_store_errors(name: str, base: str) -> None:
    """What a store did not do is a StoreError; what could be tried again later is StoreUnavailableError."""
    assert issubclass(getattr(errors, name), getattr(errors, base))


def test_callers_mistakes_are_no_store_errors() -> None:
    """A bad argument is never taken for a store that is away, which a read would survive in silence."""
    assert [name for name in BUILTIN if issubclass(getattr(errors, name), errors.StoreError)] == []


@each
def test_docstring_is_the_message(kind: type[Exception]) -> None:
    """Without a message of its own an exception says its class's docstring: a sentence."""
    text = str(kind())
    assert text == kind.__doc__
    assert text.endswith(".")
    assert "\n" not in text


@each
def test_own_message(kind: type[Exception]) -> None:
    """A message that is given is the message, to the letter (KeyError would quote it)."""
    assert str(kind("This is 'why'.")) == "This is 'why'."


@each
def test_pickle(kind: type[Exception]) -> None:
    """An exception crosses to another process with its type and its message."""
    one = kind("why")
    other = pickle.loads(pickle.dumps(one))  # noqa: S301 - our own bytes
    assert (type(other), str(other)) == (type(one), str(one))


REMEDIES = {
    "EncodeError": "Convert it",
    "LoaderError": "Give it a plain function",
    "AbsentError": "Set it first",
    "StoreClosedError": "Make a new one",
    "StoreUnavailableError": "Check that it runs",
    "StoreTimeoutError": "raise `timeout`",
    "StoreAuthError": "Check the user name",
    "NotPrimaryError": "Point the URL at the primary",
    "PoolExhaustedError": "Raise `max_connections`",
    "WrongNodeError": "redis+cluster://",
    "NotReplicatedError": "Call it again",
    "StoreFullError": "Give it an eviction policy",
    "BreakerOpenError": "Look at the server",
}


@pytest.mark.parametrize(("name", "remedy"), REMEDIES.items())
def test_message_names_the_remedy(name: str, remedy: str) -> None:
    """What can be mended says how."""
    assert remedy in str(getattr(errors, name)())
