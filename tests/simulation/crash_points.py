# SPDX-License-Identifier: Apache-2.0
"""Every I/O point of a small scenario, crashed at: before the request leaves, and after it was applied,
unacknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from airflow_provider_aigen.core.folding import Folding
from tests.simulation.driver import Result, simulate
from tests.simulation.network import AFTER, BEFORE, Faults
from tests.simulation.scenario import Run, Scenario, What

__all__ = ["Crashes", "after", "pairs", "retake", "singles", "small_plan"]

Crashes = dict[int, str]
Make = Callable[[Crashes], Scenario]


def small_plan(crash_at: Crashes) -> Scenario:
    """Two batches of two documents: rows, a dead letter, and both."""
    objects = {"1.png": ("success", 1), "2.png": ("not-found", 2), "3.png": ("partial", 3), "4.png": ("two-pages", 4)}
    return _scenario(crash_at, objects, [_run("r0", 0.0)])


def retake(crash_at: Crashes) -> Scenario:
    """A passing dead letter, made by one run, and called again by the next one, which has something new to read."""
    objects = {"1.png": ("success", 1), "2.png": ("poison-500", 2)}
    scenario = _scenario(crash_at, objects, [_run("r0", 0.0), _run("r1", 60.0)])
    scenario.changes = [(59.0, "3.png", ("success", 3))]
    return scenario


def _run(run_id: str, start: float) -> Run:
    return Run("a", run_id, start, batch_size=2, max_in_flight=2, per_second=50.0, retries=3)


def _scenario(crash_at: Crashes, objects: dict[str, What], runs: list[Run]) -> Scenario:
    return Scenario(
        seed=0,
        profile="crash points",
        objects=objects,
        runs=runs,
        faults=Faults(crash_at=dict(crash_at)),
        clear=False,
        folding=Folding(commits=len(runs) % 2 + 1, factor=2),
    )


def singles(make: Make) -> Iterator[tuple[Crashes, Result]]:
    """A crash at each point that the scenario reaches, and what came of it."""
    yield from after(make, {}, simulate(make({})))


def pairs(make: Make, part: int, parts: int) -> Iterator[Result]:
    """A second crash at each later point that the schedule with the first one reaches; one of some parts of them."""
    for number, (crash_at, result) in enumerate(singles(make)):
        if number % parts == part:
            for _, second in after(make, crash_at, result):
                yield second


def after(make: Make, crash_at: Crashes, reached: Result) -> Iterator[tuple[Crashes, Result]]:
    """One more crash, at each point behind these. Reads change nothing: before and after them is the same."""
    for point in range(max(crash_at, default=0) + 1, reached.points_of_runs + 1):
        for where in (BEFORE, AFTER) if point in reached.changing else (BEFORE,):
            more = {**crash_at, point: where}
            yield more, simulate(make(more))
