"""A scenario: a model, what is expected of it, and which rule of the code it exercises."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from model.process import Model


class Scenario(NamedTuple):
    """One line of the table.

    Attributes:
        group: the mechanism's.
        name: what is tried.
        expected: HOLDS or VIOLATED.
        rule: the code that keeps the promise here, or that is taken out; or why nothing is promised.
        make: makes the model; given True for larger bounds.
    """

    group: str
    name: str
    expected: str
    rule: str
    make: Callable[[bool], Model]

    @property
    def title(self) -> str:
        """Group and name."""
        return f"{self.group}: {self.name}"
