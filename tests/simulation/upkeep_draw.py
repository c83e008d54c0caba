# SPDX-License-Identifier: Apache-2.0
"""Seed → schedule of redrives, rebuilds and erasures beside runs. Equal seeds give equal schedules.

These schedules are others than those of :mod:`.draw`, whose seeds keep what they draw.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from tests.simulation.draw import clock_step_s
from tests.simulation.endpoint import HEALING
from tests.simulation.network import Faults
from tests.simulation.scenario import Blow, Run, Scenario, What

__all__ = ["Schedule", "Work", "draw_upkeep"]

_KINDS = ("success", "success", "two-pages", "partial", "not-found", *HEALING, *HEALING)


@dataclass(slots=True)
class Work:
    """One task of an operator: ``kind`` is redrive, rebuild or erase. It is tried again until it succeeds, at most
    ``retries`` times; each try meets the next of ``blows``."""

    kind: str
    name: str
    start: float = 0.0
    retries: int = 0
    retry_after: float = 5.0
    blows: list[Blow] = field(default_factory=list)
    keys: tuple[str, ...] = ()  # what an erasure erases
    min_confidence: float | None = None
    most_documents: int = 2000
    compact: bool = True

    @property
    def run(self) -> Run:
        """What the world takes for the run of its processes."""
        return Run("a", self.name, max_in_flight=2)


@dataclass(slots=True)
class Schedule:
    """Runs and ``works`` beside them. ``erased`` are the keys that are erased for good at the end."""

    scenario: Scenario
    works: list[Work]
    heals_at: float
    erased: tuple[str, ...]


def draw_upkeep(seed: int) -> Schedule:
    """The schedule of a seed. Equal seeds give equal schedules."""
    rng = Random(seed ^ 0x0BEE)
    objects: dict[str, What] = {
        f"{number:02d}-{rng.choice(('ink', 'oak', 'sun'))}{number}.png": (rng.choice(_KINDS), rng.randrange(12))
        for number in range(rng.randint(3, 6))
    }
    kinds = rng.choice(
        (("redrive",), ("rebuild",), ("erase",), ("redrive", "rebuild"), ("redrive", "rebuild", "erase"))
    )
    erased = tuple(sorted(rng.sample(sorted(objects), rng.randint(1, 2)))) if "erase" in kinds else ()
    runs = [_run(rng, number, erased) for number in range(rng.randint(1, 3))]
    works = [_work(rng, rng.choice(kinds), number, erased) for number in range(rng.randint(1, 4))]
    if rng.random() < 0.4:  # the same, or another one, at nearly the same time
        twin = rng.choice(works)
        name = twin.name if rng.random() < 0.5 else f"{twin.name}-twin"
        blows = _blows(rng, work=True, erasing=bool(erased))
        works.append(replace(twin, name=name, start=twin.start + rng.choice((0.0, rng.random())), blows=blows))
    if not erased and rng.random() < 0.4:
        _late(rng, runs, works)
    if erased and rng.random() < 0.4:
        _answered_late(rng, objects, erased, runs, works)
    faults = Faults(until=rng.random() * 100, store_loses_reply=0.02) if rng.random() < 0.25 else Faults()
    if erased and rng.random() < 0.5:  # calls that are under way for long while an erasure comes
        faults = Faults(until=200.0, call_slow=0.5)
    scenario = Scenario(seed, "upkeep", objects, runs, faults=faults, shuffle=rng.random() < 0.3)
    scenario.clock_step_s = clock_step_s(seed)
    scenario.real_codecs = bool(erased)  # which are looked through for what is erased
    return Schedule(scenario, works, rng.choice((0.0, rng.random() * 40)), erased)


def _late(rng: Random, runs: list[Run], works: list[Work]) -> None:
    """A writer sleeps when it has committed; others finish what it left, a rebuild comes, and it wakes up. It goes on,
    or it is killed soon afterwards."""
    for run in runs:
        run.blows, run.retries, run.retry_after = [], 2, rng.random() * 5
    runs[0].blows = [Blow(rng.choice(("freeze", "late")), rng.randint(1, 2), 20 + rng.random() * 70)]
    works[:] = [
        Work(
            "rebuild",
            f"rebuild-{number}",
            8 + rng.random() * 60,
            min_confidence=rng.choice((None, 0.9)),
            compact=rng.random() < 0.5,
        )
        for number in range(rng.randint(1, 3))
    ]


def _answered_late(
    rng: Random, objects: dict[str, What], erased: tuple[str, ...], runs: list[Run], works: list[Work]
) -> None:
    """A redrive waits for answers about documents that are erased meanwhile."""
    for run in runs:
        run.start, run.blows = 0.0, []
    for number, key in enumerate(erased):
        objects[key] = (rng.choice([*HEALING]), 50 + number)
    begins = 60 + rng.random() * 20
    works[:] = [
        Work("redrive", "redrive-0", begins, retries=2),
        Work("erase", "erase-0", begins + rng.random() * 6, retries=2, keys=erased),
    ]


def _run(rng: Random, number: int, erased: tuple[str, ...]) -> Run:
    return Run(
        "a",
        f"r{rng.choice((0, number))}",  # two processes of one run are a task and its zombie
        start=rng.choice((0.0, rng.random() * 10, rng.random() * 60)),
        batch_size=rng.choice((1, 1, 2)),
        max_in_flight=2,
        retries=rng.randint(1, 3),
        retry_after=rng.random() * 40,
        blows=_blows(rng, work=False, erasing=bool(erased)),
    )


def _work(rng: Random, kind: str, number: int, erased: tuple[str, ...]) -> Work:
    return Work(
        kind,
        f"{kind}-{number}",
        start=rng.random() * rng.choice((5, 40, 90)),
        retries=rng.randint(0, 3),
        retry_after=rng.random() * 20,
        blows=_blows(rng, work=True, erasing=bool(erased)),
        keys=erased if kind == "erase" else (),
        min_confidence=rng.choice((None, None, 0.9)),
        most_documents=rng.choice((2, 3, 2000)),
        compact=rng.random() < 0.8,
    )


def _blows(rng: Random, *, work: bool, erasing: bool) -> list[Blow]:
    """Beside an erasure nobody sleeps for as long as a writer lives: who does may write once more afterwards."""
    blows = []
    while rng.random() < 0.55:
        kind = rng.choice(("kill", "kill", "pause", "kill_at") if work else ("kill", "kill_at", "pause", "freeze"))
        lasts = rng.random() * (10 if erasing else rng.choice((10, 60, 90)))
        if kind == "kill":
            blows.append(Blow(kind, int(rng.choice((20, 60, 150, 300)) * rng.random()) + 1))
        elif kind == "freeze":
            blows.append(Blow(kind, rng.randint(1, 3), lasts))
        else:
            blows.append(Blow(kind, rng.random() * rng.choice((0.3, 1, 5)), lasts))
    return blows
