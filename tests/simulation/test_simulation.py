# SPDX-License-Identifier: Apache-2.0
"""The promises of design §3 hold in every schedule that is tried, and every deliberate bug is caught."""

from __future__ import annotations

import gc
import math
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.heartbeat import Heartbeat
from tests.simulation import crash_points
from tests.simulation.campaign import seeds_prepared
from tests.simulation.draw import draw
from tests.simulation.driver import Crashed, simulate
from tests.simulation.loop import Stuck
from tests.simulation.mutations import MUTATIONS, UPKEEP, mutated
from tests.simulation.overlap import overlap
from tests.simulation.scenario import Scenario
from tests.simulation.upkeep import draw_upkeep, simulate_upkeep
from tests.simulation.violation import Violation

# Coverage would make them several times slower, and has enough from the other tests.
pytestmark = pytest.mark.no_cover

ROOT = Path(__file__).resolve().parents[2]
SCHEDULES = 5_000
UPKEEP_SCHEDULES = 40
PARTS = 4  # that the test workers share
MUTATION_SEEDS = 2_000  # one of them shows nearly every bug in the first hundred, the rarest ones in one of two hundred


@pytest.fixture(autouse=True)
def _prepared():
    with seeds_prepared():
        yield
        gc.collect()


def _command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_schedules(part):
    size = SCHEDULES // PARTS
    done = _command("--first", str(part * size), "--schedules", str(size), "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"0 of {size} schedules failed" in done.stdout


def test_schedules_with_redrives_rebuilds_and_erasures():
    done = _command("--upkeep", "--schedules", str(UPKEEP_SCHEDULES), "--jobs", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"0 of {UPKEEP_SCHEDULES} schedules failed" in done.stdout


def test_a_seed_is_replayed_exactly():
    traces = {_command("--seed", "11", PYTHONHASHSEED=hash_seed).stdout for hash_seed in ("1", "2")}
    assert len(traces) == 1
    assert "all holds" in traces.pop()


def test_a_failing_seed_prints_the_command_that_replays_it():
    done = _command("--schedules", "20", "--jobs", "1", "--mutation", "effects before the commit")
    assert done.returncode == 1
    assert "python -m tests.simulation --mutation 'effects before the commit' --seed 0" in done.stdout


@pytest.mark.parametrize("seed", range(3))
def test_real_parquet_and_disk_ledger(seed):
    scenario = draw(seed)
    scenario.real_adapters = True
    scenario.rewrite = True
    simulate(scenario)


def _failure(scenario: Scenario) -> Exception | None:
    return _failure_of(partial(simulate, scenario))


def _failure_of(work: Callable[[], object]) -> Exception | None:
    try:
        work()
    except (Violation, Stuck, Crashed) as failure:
        return failure
    return None


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_deliberate_bug_is_caught_by_the_law_that_it_breaks(name):
    law, profile, first, others = MUTATIONS[name].law, MUTATIONS[name].profile, MUTATIONS[name].first, Counter()

    def failure_of(seed: int) -> Exception | None:
        if profile == UPKEEP:
            return _failure_of(lambda: simulate_upkeep(draw_upkeep(seed)))
        return _failure(draw(seed, profile))

    with mutated(name):
        for seed in range(first, first + MUTATION_SEEDS):
            failure = failure_of(seed)
            if isinstance(failure, Violation) and re.search(law, str(failure)):
                break
            if failure is not None:
                others[repr(failure)] += 1
            if seed % 250 == 249:
                gc.collect()
        else:
            pytest.fail(f"in {MUTATION_SEEDS} schedules no law says {law!r}; there were {others.most_common(5)}")
    assert failure_of(seed) is None  # it was the bug


def test_an_error_that_is_no_law_catches_no_bug(monkeypatch):
    monkeypatch.setattr(Caller, "call", lambda self, body: None)
    assert isinstance(_failure(draw(0)), Crashed)


def test_a_task_that_never_waits_is_caught(monkeypatch):
    async def run(self: Heartbeat) -> None:
        while self._clock.monotonic() < math.inf:
            await self._clock.sleep(0.0)

    monkeypatch.setattr(Heartbeat, "run", run)
    scenario = draw(0)
    scenario.clock_step_s = 0.0002
    assert "waited for nothing" in str(_failure(scenario))


@pytest.mark.parametrize("make", [crash_points.small_plan, crash_points.retake])
def test_a_crash_at_every_point(make):
    assert sum(1 for _ in crash_points.singles(make)) > 60


@pytest.mark.parametrize("part", range(4))
def test_a_crash_at_pairs_of_points(part):
    """At an eighth of all pairs; the soak has many more."""
    assert sum(1 for _ in crash_points.pairs(crash_points.small_plan, part, 32)) > 60


def test_overlapping_runs_pay_nothing_twice():
    results = [overlap(seed) for seed in range(6)]
    assert sum(result.calls for result in results) == 6 * 120
