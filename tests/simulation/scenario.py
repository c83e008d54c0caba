# SPDX-License-Identifier: Apache-2.0
"""Seed → scenario: which objects, which runs, what goes wrong and when. Equal seeds give equal scenarios."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from random import Random

from tests.simulation.endpoint import ANSWERS, NO_CALL, PASSING, POISON, content
from tests.simulation.failures import PASSING_SHAPES, TROUBLES, Trouble
from tests.simulation.network import Faults

__all__ = ["Blow", "Run", "Scenario", "What", "content_of", "draw"]

What = tuple[str, int]

_USUAL = ("success", "success", "success", "two-pages", "partial", "not-found")
_ODD = (*ANSWERS, *NO_CALL)
_MOST_POISON = 3


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens to one try: ``kill`` before its step ``at``; ``kill_at``, ``pause`` or ``stop`` (SIGTERM, then
    SIGKILL) at ``at`` seconds after its start. ``lasts`` is how long a pause is."""

    kind: str
    at: float
    lasts: float = 0.0


@dataclass(slots=True)
class Run:
    """One DAG run of one DAG. Each try meets the next of ``blows``, those after them none; after a try that failed the
    next one begins ``retry_after`` seconds later, at most ``retries`` times."""

    dag: str
    run_id: str
    start: float = 0.0
    batch_size: int = 3
    max_in_flight: int = 4
    per_second: float = 50.0
    max_documents: int | None = None
    retries: int = 0
    retry_after: float = 1.0
    repeat_ratio: float = 0.2
    blows: list[Blow] = field(default_factory=list)


@dataclass(slots=True)
class Scenario:
    """``objects`` maps a key under the source to what lies there, ``changes`` are (time, key, what or None)."""

    seed: int
    profile: str
    objects: dict[str, What]
    runs: list[Run]
    changes: list[tuple[float, str, What | None]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    shuffle: bool = False
    real_adapters: bool = False
    real_codecs: bool = True
    clear: bool = True
    rewrite: bool = False


@lru_cache(maxsize=1024)
def content_of(what: What) -> bytes:
    return content(*what)


def draw(seed: int, profile: str | None = None) -> Scenario:
    """The scenario of a seed, of this profile if one is asked for. Each has the faults that its name says, ``mixed``
    any of them."""
    rng = Random(seed)
    profile = profile or rng.choice(
        ("crash", "crash", "overlap", "two-dags", "zombie", "outage", "stop", "mixed", "mixed")
    )
    scenario = Scenario(
        seed=seed,
        profile=profile,
        objects=_objects(rng, profile),
        runs=[_run(rng, "a", 0, 0.0)],
        shuffle=rng.random() < 0.3,
        rewrite=rng.random() < 0.1,
        real_adapters=rng.random() < 0.003,
        real_codecs=seed % 16 == 0,
        clear=rng.random() < 0.2,
    )
    mixed = profile == "mixed"
    if profile in ("overlap", "two-dags") or (mixed and rng.random() < 0.5):
        dag = "b" if profile == "two-dags" or rng.random() < 0.3 else "a"
        scenario.runs.append(_run(rng, dag, 1, rng.choice((0.0, rng.random(), rng.random() * 8))))
        if rng.random() < 0.2:
            scenario.runs.append(_run(rng, "a", 2, rng.random() * 12))
    if profile in ("overlap", "zombie") or mixed:
        scenario.changes = _changes(rng, scenario.objects)
    for run in scenario.runs:
        run.blows = _blows(rng, profile)
        run.retries = len(run.blows) + rng.choice((0, 1, 3))
    if profile == "outage" or (mixed and rng.random() < 0.2):
        scenario.troubles = _troubles(rng)
    scenario.faults = _faults(rng, profile)
    return scenario


def _objects(rng: Random, profile: str) -> dict[str, What]:
    objects: dict[str, What] = {}
    odd = rng.choice((0.0, 0.2, 0.6))
    many = profile == "outage" and rng.random() < 0.15  # enough to open the breaker
    for number in range(rng.randint(14, 18) if many else rng.choice((2, 2, 3, 3, 4, 4, 5, 7))):
        kind = rng.choice(_ODD if rng.random() < odd else _USUAL)
        if profile in ("outage", "mixed", "stop") and rng.random() < 0.08:
            poisoned = sum(what[0] in POISON for what in objects.values())
            kind = rng.choice((rng.choice(POISON), PASSING)) if poisoned < _MOST_POISON else PASSING
        # A number that is used twice means equal bytes under two keys.
        objects[f"{rng.randrange(100):02d}-{number}.png"] = (kind, rng.randrange(40 if many else 8))
    if rng.random() < 0.1:
        objects["folder/"] = ("empty", 0)
    return objects


def _run(rng: Random, dag: str, number: int, start: float) -> Run:
    return Run(
        dag=dag,
        run_id=f"r{number}",
        start=start,
        batch_size=rng.randint(1, 4),
        max_in_flight=rng.choice((1, 2, 2, 3, 4)),
        per_second=rng.choice((2.0, 10.0, 50.0)),
        max_documents=rng.randint(1, 8) if rng.random() < 0.1 else None,
        retry_after=rng.choice((rng.random() * 10, rng.random() * 10, 60.0, 300.0)),
    )


def _blows(rng: Random, profile: str) -> list[Blow]:
    blows = []
    while rng.random() < {"crash": 0.65, "zombie": 0.6, "stop": 0.6, "mixed": 0.45}.get(profile, 0.2):
        kinds = {"zombie": ("pause",), "stop": ("stop",), "mixed": ("kill", "kill_at", "pause", "stop")}
        kind = rng.choice(kinds.get(profile, ("kill", "kill", "kill_at")))
        if kind == "kill":
            blows.append(Blow(kind, int(rng.choice((30, 90, 300)) * rng.random()) + 1))
        else:
            blows.append(
                Blow(kind, rng.random() * rng.choice((0.5, 3, 10)), rng.choice((2, 25, 60, 90)) * rng.random())
            )
    return blows


def _changes(rng: Random, objects: dict[str, What]) -> list[tuple[float, str, What | None]]:
    changes: list[tuple[float, str, What | None]] = []
    for number in range(rng.randint(0, 4)):
        at, key, action = rng.random() * rng.choice((0.5, 6)), rng.choice(list(objects)), rng.random()
        if action < 0.3:
            changes.append((at, f"{rng.randrange(100):02d}-new{number}.png", (rng.choice(_USUAL), rng.randrange(8))))
        elif action < 0.6:
            changes.append((at, key, (rng.choice(_USUAL), rng.randrange(8))))
        else:
            changes.append((at, key, None))
            if rng.random() < 0.4:  # the bytes come back
                changes.append((at + rng.random() * 5, key, objects[key]))
    return changes


def _troubles(rng: Random) -> list[Trouble]:
    start = rng.choice((0.0, rng.random() * 4))
    kind = rng.choice((*TROUBLES, *PASSING_SHAPES, "any"))
    share = rng.choice((1.0, 1.0, 0.5, 0.33))
    return [Trouble(start, start + rng.choice((1, 10, 300)) * rng.random(), kind, share)]


def _faults(rng: Random, profile: str) -> Faults:
    def share(most: float) -> float:
        return most * rng.random() if rng.random() < 0.4 else 0.0

    return Faults(
        until=1e9,
        store_fails=share(0.012),
        store_loses_reply=share(0.08),
        store_slow=share(0.2),
        call_reset=share(0.1) if profile != "outage" else 0.0,
        call_connect=share(0.1),
        call_throttled=share(0.2),
        call_failed=share(0.1) if profile != "outage" else 0.0,
        call_slow=share(0.3),
    )
