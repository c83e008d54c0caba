# SPDX-License-Identifier: Apache-2.0
"""Every I/O point of a small plan, crashed at: before the request leaves, and after it was applied, unacknowledged."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.driver import Result, simulate
from tests.simulation.network import AFTER, BEFORE, Faults
from tests.simulation.scenario import Run, Scenario

__all__ = ["after", "pairs", "run", "singles", "small_plan"]

Crashes = dict[int, str]


def small_plan(crash_at: Crashes | None = None, *, real_adapters: bool = False) -> Scenario:
    """Two batches of two documents: rows, a dead letter, both, and a document that is called for once more."""
    return Scenario(
        seed=0,
        profile="crash points",
        objects={
            "1.png": ("success", 1),
            "2.png": ("not-found", 2),
            "3.png": ("partial", 3),
            "4.png": ("two-pages", 4),
        },
        runs=[Run("a", "r0", 0.0, batch_size=2, max_in_flight=2, per_second=50.0, retries=3)],
        faults=Faults(crash_at=crash_at or {}),
        real_adapters=real_adapters,
        clear=False,
    )


def run(crash_at: Crashes) -> Result:
    return simulate(small_plan(crash_at))


def singles() -> Iterator[Crashes]:
    yield from after({})


def pairs() -> Iterator[Crashes]:
    """A second crash at each later point that the schedule with the first one reaches."""
    for first in singles():
        yield from after(first)


def after(crash_at: Crashes) -> Iterator[Crashes]:
    """One more crash, at each point behind these. Reads change nothing: before and after them is the same."""
    result = run(crash_at)
    for point in range(max(crash_at, default=0) + 1, result.points_of_runs + 1):
        yield {**crash_at, point: BEFORE}
        if point in result.changing:
            yield {**crash_at, point: AFTER}
