"""The search: everything that a few processes may do, in every order, breadth first. Nothing here knows of caches.

So the first violation that is found has a shortest trace. Processes with the same operations are interchangeable:
states that differ only by which of them stands where count once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from time import process_time
from typing import Any, TypeAlias

from model.process import WAIT, Found, Model, Places, Step, Violation
from model.trace import told

State: TypeAlias = "tuple[tuple[Any, ...], tuple[int, ...]]"
"""The world, frozen, and where each process stands."""
Move: TypeAlias = "tuple[int, Step, Any, State, list[int]]"
"""Which process, its step, what that replied; the state then, and where each process stands by its own name."""


class Search:
    """One model's search."""

    def __init__(self, model: Model) -> None:
        """Take the model."""
        self.model = model
        self.fields = tuple((name, type(value) is dict) for name, value in vars(model.world).items())
        shared = {process[1:]: Places(process) for process in model.processes}
        self.places = [shared[process[1:]] for process in model.processes]
        slots = range(len(self.places))
        alike = [tuple(other for other in slots if self.places[other] is places) for places in self.places]
        self.groups = [group for group in dict.fromkeys(alike) if len(group) > 1]
        self.twins = [[other for other in group if other < slot] for slot, group in enumerate(alike)]

    def freeze(self, world: Any, standing: list[int]) -> State:
        """A state, by which it is known again: interchangeable processes stand in the order of their places."""
        ordered = list(standing)
        for group in self.groups:
            for slot, place in zip(group, sorted([standing[slot] for slot in group]), strict=True):
                ordered[slot] = place
        return tuple([tuple(sorted(v.items())) if type(v) is dict else v for v in world.__dict__.values()]), tuple(
            ordered
        )

    def thaw(self, values: tuple[Any, ...]) -> Any:
        """A world of its own for a step to change."""
        world = object.__new__(type(self.model.world))
        for (name, is_dict), value in zip(self.fields, values, strict=True):
            world.__dict__[name] = dict(value) if is_dict else value
        return world

    def moves(self, values: tuple[Any, ...], standing: Sequence[int]) -> Iterator[Move]:
        """What can happen next. Where it breaks a promise, the reply is the Violation."""
        for slot, place in enumerate(standing):
            if any(standing[twin] == place for twin in self.twins[slot]):  # what one can do its twin can
                continue
            for step in self.places[slot].steps[place]:
                world, after = self.thaw(values), list(standing)
                try:
                    reply = step.act(world)
                except Violation as violation:
                    reply = violation
                else:
                    if reply is WAIT:
                        continue
                    after[slot] = self.places[slot].after(place, reply)
                yield slot, step, reply, self.freeze(world, after), after

    def run(self, most: int = 500_000) -> Found:
        """Search. It is given up beyond `most` states."""
        began = process_time()
        first = self.freeze(self.model.world, [0] * len(self.places))
        before: dict[State, State | None] = {first: None}
        queue = deque([first])
        while queue:
            state = queue.popleft()
            try:
                if self.expand(state, before, queue):
                    self.model.at_end(self.thaw(state[0]))
            except Violation as broken:
                return Found(str(broken), told(self, before, state, broken), len(before), process_time() - began)
            if len(before) > most:
                break
        return Found(None, [], len(before), process_time() - began, complete=not queue)

    def expand(self, state: State, before: dict[State, State | None], queue: deque[State]) -> bool:
        """Note what can follow a state; whether nothing can. Raises the Violation that does."""
        stuck = True
        for _, _, reply, then, _ in self.moves(*state):
            stuck = False
            if isinstance(reply, Violation):
                raise reply
            if then not in before:
                before[then] = state
                queue.append(then)
        return stuck
