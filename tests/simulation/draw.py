# SPDX-License-Identifier: Apache-2.0
"""Seed → scenario. Equal seeds give equal scenarios."""

from __future__ import annotations

from random import Random

from airflow_provider_aigen.core.folding import Folding
from tests.simulation.endpoint import ANSWERS, NO_CALL, PASSING, POISON
from tests.simulation.failures import PASSING_SHAPES, STOPPING, TROUBLES, Trouble
from tests.simulation.network import Faults
from tests.simulation.scenario import Blow, Damage, Denial, Run, Scenario, What

__all__ = ["HALF_A_LETTER", "PROFILES", "clock_step_s", "draw"]

_USUAL = ("success", "success", "success", "two-pages", "partial", "not-found")
_ODD = (*ANSWERS, *NO_CALL)
_MOST_POISON = 3
_DAY_S = 86_400.0
_CLOCKS = (0.0, 0.0, 3.0, -40.0, 3600.0, -3600.0, _DAY_S, -_DAY_S)

PROFILES = {
    "crash": 5,  # killed before any step
    "overlap": 3,  # several runs of one DAG at once
    "two-dags": 2,  # of two DAGs with one destination
    "zombie": 3,  # frozen, or cut off from the store, while others go on
    "stop": 3,  # SIGTERM, then SIGKILL
    "outage": 3,  # the endpoint fails for all calls, or a part of them, for a time
    "account": 2,  # wrong key, no credit, a denied bucket
    "passing": 5,  # some calls fail, some documents always, run after run
    "letters": 2,  # one or two documents that fail, and runs that retake them together, late or frozen
    "hours": 2,  # a run every hour, new objects in each
    "storm": 1,  # many documents, and half of all calls fail
    "denied": 2,  # S3 denies single objects, copies or deletes
    "damaged": 2,  # claims and answers that cannot be read
    "parameters": 2,  # others at the next try, mapped tasks
    "alone": 1,  # nothing but documents that fail
    "mixed": 6,
}
"""The kinds of schedules, and how often each is drawn."""

HALF_A_LETTER = "half a letter"
"""A profile that is drawn only where it is asked for: what it shows, one of a million others does."""

_DRAWN = tuple(name for name, times in PROFILES.items() for _ in range(times))


def draw(seed: int, profile: str | None = None) -> Scenario:
    """The scenario of a seed, of this profile if one is asked for. Each has the faults that its name says, ``mixed``
    any of them."""
    if profile == HALF_A_LETTER:
        return _half_a_letter(seed)
    rng, random = Random(seed), Random(seed + 1)
    profile = profile or rng.choice(_DRAWN)
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
        alone=profile == "alone",
        folding=Folding(commits=1 + seed % 3, factor=2 + seed % 2),
        clock_step_s=clock_step_s(seed),
    )
    _add_runs(rng, scenario)
    if profile in ("overlap", "zombie") or (profile == "mixed" and rng.random() < 0.7):
        scenario.changes = _changes(rng, scenario.objects)
    for run in scenario.runs:
        run.blows = _blows(rng, profile)
        run.retries = max(run.retries, len(run.blows) + rng.choice((0, 1, 3)))
        if rng.random() < 0.15 and not scenario.alone:
            run.clocks = tuple(rng.choice(_CLOCKS) for _ in range(3))
    scenario.troubles = _troubles(rng, profile)
    scenario.denials = _denials(rng, scenario)
    if profile == "damaged" or (profile == "mixed" and rng.random() < 0.1):
        scenario.damages = [
            Damage(rng.choice(("claims", "answers")), rng.random() * rng.choice((1, 4, 60)), rng.choice((5, 60, 1e5)))
            for _ in range(rng.randint(1, 3))
        ]
    scenario.faults = _faults(rng, profile)
    if seed % 5 == 0:
        scenario.damages.append(Damage("ledger", random.random() * 120, random.choice((5, 60, 1e5))))
    return scenario


def clock_step_s(seed: int) -> float:
    """By how much a look at the clock moves it, at most. In half of all schedules time stands still meanwhile."""
    return Random(seed + 2).choice((0.0, 0.0, 0.0, 0.00002, 0.0002, 0.001))


def _half_a_letter(seed: int) -> Scenario:
    """Two runs at once, of which S3 denies the first one a document for a second, and so it writes a letter. Requests
    fail now and then, one of them perhaps between the image and the record. The other run reads the document."""
    return Scenario(
        seed=seed,
        profile=HALF_A_LETTER,
        objects={"1.png": ("success", 1), "2.png": ("success", 2)},
        runs=[
            Run("a", "r0", 0.0, batch_size=2, max_in_flight=2, per_second=50.0, retries=2),
            Run("a", "r1", 0.4, batch_size=2, max_in_flight=2, per_second=10.0, retries=2),
        ],
        denials=[Denial("get", "incoming/2.png", 0.0, 1.0)],
        faults=Faults(until=30.0, store_fails=0.05),
    )


def _objects(rng: Random, profile: str) -> dict[str, What]:
    objects: dict[str, What] = {}
    odd = rng.choice((0.0, 0.2, 0.6))
    many = (profile == "outage" and rng.random() < 0.15) or profile == "storm"  # enough to open the breaker
    count = rng.randint(14, 18) if many else rng.choice((2, 2, 3, 3, 4, 4, 5, 7))
    poison = {
        "passing": 0.15,
        "hours": 0.15,
        "outage": 0.08,
        "mixed": 0.08,
        "stop": 0.08,
        "alone": 1.0,
        "letters": 0.8,
    }.get(profile, 0.02)
    if profile == "storm":
        count, odd = rng.randint(24, 44), 0.0
    elif profile in ("alone", "letters"):
        count = rng.randint(1, 2)
    for number in range(count):
        kind = rng.choice(_ODD if rng.random() < odd else _USUAL)
        if rng.random() < poison:
            poisoned = sum(what[0] in POISON for what in objects.values())
            passes = profile != "alone" and (poisoned >= _MOST_POISON or rng.random() < 0.3)
            kind = PASSING if passes else rng.choice(POISON)
        # A number that is used twice means equal bytes under two keys.
        objects[f"{rng.randrange(100):02d}-{number}.png"] = (kind, rng.randrange(400 if many else 8))
    if profile in ("passing", "hours") and rng.random() < 0.5:  # at a place of its own
        key = rng.choice(("00-first.png", "99-last.png"))
        objects = {key: (rng.choice(POISON), 0), **({} if rng.random() < 0.1 else objects)}
    if rng.random() < 0.1:
        objects["folder/"] = ("empty", 0)
    if profile == "parameters":
        objects = {f"{rng.choice('abc')}/{key}": what for key, what in objects.items()}
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
        min_confidence=0.5 if dag == "b" else None,
        repeat_ratio=rng.choice((0.0, 0.2, 1.0)),
        retry_after=rng.choice((rng.random() * 10, rng.random() * 10, 60.0, 300.0)),
    )


def _add_runs(rng: Random, scenario: Scenario) -> None:
    profile, runs = scenario.profile, scenario.runs
    mixed = profile == "mixed"
    if profile in ("overlap", "two-dags") or (mixed and rng.random() < 0.5):
        dag = "b" if profile == "two-dags" or rng.random() < 0.3 else "a"
        runs.append(_run(rng, dag, 1, rng.choice((0.0, rng.random(), rng.random() * 8))))
        if rng.random() < 0.2:
            runs.append(_run(rng, "a", 2, rng.random() * 12))
    if profile == "passing" or (mixed and rng.random() < 0.3):
        for number in range(3, 3 + rng.randint(1, 3)):  # some of them when letters are due, some of them together
            dag = "b" if rng.random() < 0.2 else "a"
            runs.append(_run(rng, dag, number, rng.choice((runs[-1].start, rng.random() * 200))))
    more = {"letters": _letters, "hours": _hours, "parameters": _parameters}.get(profile)
    if more is not None:
        more(rng, scenario)


def _letters(rng: Random, scenario: Scenario) -> None:
    """Runs that retake the same letters, with something new to be answered in each."""
    scenario.objects |= {f"{rng.randrange(100):02d}-well-{number}.png": ("success", number) for number in range(2)}
    for number in range(1, rng.randint(3, 6)):
        start = scenario.runs[-1].start + rng.choice((0.0, rng.random() * 5, 20.0 + rng.random() * 40))
        scenario.runs.append(_run(rng, rng.choice("aab"), number, start))
        key = f"{rng.randrange(100):02d}-{number}.png"
        scenario.changes.append((max(0.001, start - 1), key, ("success", 20 + number)))


def _hours(rng: Random, scenario: Scenario) -> None:
    """A run every hour, and a few new objects before each."""
    runs = scenario.runs
    runs += [_run(rng, "a", number, number * 3600.0) for number in range(1, rng.randint(3, 5))]
    for run in runs:
        run.retries, run.retry_after = rng.choice((0, 2)), 300.0
        for number in range(rng.randint(0, 3)):
            key = f"{rng.randrange(100):02d}-{run.run_id}-{number}.png"
            scenario.changes.append((max(0.001, run.start - 60), key, (rng.choice(_USUAL), rng.randrange(400))))


def _parameters(rng: Random, scenario: Scenario) -> None:
    """Other parameters at a later try."""
    runs = scenario.runs
    if rng.random() < 0.5:  # mapped tasks: the list of folders begins with another one when they are cleared
        runs[:] = [_run(rng, "a", 0, 0.0) for _ in range(2)]
        for number, run in enumerate(runs):
            run.map_index, run.source = number, "bc"[number] + "/"
            run.changes_at, run.changed = rng.randint(1, 2), {"source": "ab"[number] + "/"}
            run.retries = 2
    else:
        _change(rng, runs[0])


def _change(rng: Random, run: Run) -> None:
    run.changes_at, run.retries = rng.randint(1, 2), 2
    changed: list[dict[str, object]] = [
        {"min_confidence": 0.7},
        {"max_documents": None},
        {"max_documents": 2},
        {"source": "a/"},
        {"source": "b/"},
    ]
    run.changed = rng.choice(changed)


def _blows(rng: Random, profile: str) -> list[Blow]:
    shares = {
        "crash": 0.65,
        "zombie": 0.6,
        "stop": 0.6,
        "mixed": 0.45,
        "alone": 0.0,
        "parameters": 0.6,
        "passing": 0.4,
        "letters": 0.4,
    }
    kinds = {
        "zombie": ("pause", "pause", "cut"),
        "stop": ("stop",),
        "mixed": ("kill", "kill_at", "pause", "stop", "cut"),
    }
    blows = []
    if profile == "zombie" and rng.random() < 0.25:  # frozen while it calls; who takes over dies after its calls
        frozen = Blow("pause", rng.random() * 2, 25 + rng.random() * 40)
        blows = [frozen, Blow("kill_at", 15 + rng.random() * 20)]
    while rng.random() < shares.get(profile, 0.2):
        kind = rng.choice(kinds.get(profile, ("kill", "kill", "kill_at")))
        if profile == "letters" or (profile in ("passing", "overlap", "mixed") and rng.random() < 0.3):
            blows.append(Blow("freeze", rng.randint(1, 3), rng.choice((10, 60, 300)) * rng.random()))
        elif kind == "kill":
            blows.append(Blow(kind, int(rng.choice((30, 90, 300)) * rng.random()) + 1))
        else:
            lasts = rng.choice((2, 25, 60, 90)) * rng.random()
            blows.append(Blow(kind, rng.random() * rng.choice((0.5, 3, 10)), lasts))
    return blows


def _changes(rng: Random, objects: dict[str, What]) -> list[tuple[float, str, What | None]]:
    changes: list[tuple[float, str, What | None]] = []
    for number in range(rng.randint(0, 4)):
        at, key, action = rng.random() * rng.choice((0.5, 6, 60)), rng.choice(list(objects)), rng.random()
        if action < 0.3:
            changes.append((at, f"{rng.randrange(100):02d}-new{number}.png", (rng.choice(_USUAL), rng.randrange(8))))
        elif action < 0.6:
            changes.append((at, key, (rng.choice(_USUAL), rng.randrange(8))))
        else:
            changes.append((at, key, None))
            if rng.random() < 0.4:  # the bytes come back
                changes.append((at + rng.random() * rng.choice((5, 60)), key, objects[key]))
    return changes


def _troubles(rng: Random, profile: str) -> list[Trouble]:
    start = rng.choice((0.0, rng.random() * 4))
    if profile == "account":
        kind = rng.choice((*STOPPING, "html-403"))
        return [Trouble(start, start + rng.choice((30, 300)), kind)] if rng.random() < 0.8 else []
    if profile == "hours":
        share = rng.choice((0.1, 0.33, 0.5, 1.0))
        return [Trouble(start, start + rng.choice((1800, 3600, 5400)), rng.choice((*PASSING_SHAPES, "any")), share)]
    if profile == "storm":
        return [Trouble(start, start + rng.choice((10, 60, 1e5)), "any", rng.choice((0.1, 0.33, 0.5)))]
    if profile == "outage" or (profile == "mixed" and rng.random() < 0.2):
        kind = rng.choice((*TROUBLES, *PASSING_SHAPES, "any"))
        return [
            Trouble(start, start + rng.choice((1, 10, 300)) * rng.random(), kind, rng.choice((1.0, 1.0, 0.5, 0.33)))
        ]
    return []


def _denials(rng: Random, scenario: Scenario) -> list[Denial]:
    profile = scenario.profile
    if profile == "account" and not scenario.troubles:
        return [Denial("get", "incoming/", 0.0, rng.choice((5, 60, 300)))]
    if profile != "denied" and not (profile in ("mixed", "passing") and rng.random() < 0.1):
        return []
    denials = []
    for _ in range(rng.randint(1, 2)):
        verb, start = rng.choice(("get", "copy", "delete", "delete")), rng.choice((0.0, rng.random() * 10))
        key = f"incoming/{rng.choice(list(scenario.objects))}" if verb == "get" else ""
        denials.append(Denial(verb, key, start, rng.choice((1e12, start + rng.choice((1, 30, 100))))))
    return denials


def _faults(rng: Random, profile: str) -> Faults:
    def share(most: float, often: float = 0.4) -> float:
        return most * rng.random() if rng.random() < often else 0.0

    few = 0.3 if profile in ("hours", "account", "alone", "storm") else 1.0  # where progress is what counts
    if profile == "letters":
        return Faults(until=1e12, store_slow=share(0.5, 0.8), call_slow=share(0.3), call_failed=share(0.4))
    failing = {"outage": 0.0, "hours": 0.0, "alone": 0.0, "passing": 0.5, "storm": 0.0}.get(profile, 0.1)
    return Faults(
        until=1e12,
        store_fails=share(0.012, 0.4 * few),
        store_loses_reply=share(0.08, 0.4 * few),
        store_slow=share(0.2, 0.4 * few),
        call_reset=share(0.1) if failing else 0.0,
        call_connect=share(0.1, 0.4 * few),
        call_throttled=share(0.2, 0.4 * few),
        call_failed=share(failing, 0.7),
        call_slow=share(0.3, 0.4 * few),
    )
