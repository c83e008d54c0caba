# SPDX-License-Identifier: Apache-2.0
"""Deliberate bugs, each the kind that somebody could really write; the simulation has to catch every one of them.

A mutation replaces a piece of a function's source, or the whole of it, in memory and for a while. Its ``law`` is what
the bug breaks: a pattern in the message of the ``Violation``. A bug that only ends a process with an error is not
caught: then the mutation does not fit the code any more, and shows nothing.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["MUTATIONS", "UPKEEP", "Mutation", "Patch", "edit", "mutated", "mutation"]

Patch = tuple[Any, str, Any]


@dataclass(frozen=True)
class Mutation:
    """A bug, the law that it breaks, and, where most schedules do not show it, the profile of those that do and the
    seed from which on they are looked for."""

    patches: Callable[[], list[Patch]]
    law: str
    profile: str | None = None
    first: int = 0


MUTATIONS: dict[str, Mutation] = {}
# The profile of bugs that the schedules of :mod:`tests.simulation.upkeep` show.
UPKEEP = "upkeep"


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The code with this bug."""
    patches = MUTATIONS[name].patches()
    before = [(owner, attribute, owner.__dict__[attribute]) for owner, attribute, _ in patches]
    try:
        for owner, attribute, value in patches:
            setattr(owner, attribute, value)
        yield
    finally:
        for owner, attribute, value in before:
            setattr(owner, attribute, value)


def mutation(
    name: str, *, law: str, profile: str | None = None, first: int = 0
) -> Callable[[Callable[[], list[Patch]]], Callable[[], list[Patch]]]:
    def register(make: Callable[[], list[Patch]]) -> Callable[[], list[Patch]]:
        MUTATIONS[name] = Mutation(make, law, profile, first)
        return make

    return register


def edit(owner: Any, attribute: str, *changes: tuple[str, str]) -> Patch:
    """The function with each ``old`` in its source made ``new``; fails where the source no longer has it."""
    found = owner.__dict__[attribute]
    function = found.fget if isinstance(found, property) else found
    source = textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        assert source.count(old) == 1, f"{attribute} no longer has {old!r} once: adapt the mutation"
        source = source.replace(old, new)
    namespace = dict(vars(sys.modules[function.__module__]))
    exec(compile("from __future__ import annotations\n" + source, f"<mutated {attribute}>", "exec"), namespace)
    return owner, attribute, namespace[attribute]


for _bugs in ("protocol", "claims", "letters", "ledger", "money", "service", "upkeep"):
    import_module(f"tests.simulation.bugs_{_bugs}")
