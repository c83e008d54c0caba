# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.simulation``: replay a seed with its trace, or run schedules for as long as one likes."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from multiprocessing import get_context
from typing import Any

from tests.simulation.campaign import run_seeds
from tests.simulation.driver import simulate
from tests.simulation.scenario import draw

_CHUNK = 250


def replay(seed: int) -> int:
    scenario = draw(seed)
    print(scenario)
    try:
        result = simulate(scenario, trace=print)
    except Exception as error:  # noqa: BLE001 - shown, and the exit code says it
        print(f"seed {seed}: {type(error).__name__}: {error}")
        raise
    print(f"seed {seed}: all holds; {vars(result)}")
    return 0


def soak(first: int, schedules: int, jobs: int) -> int:
    began = time.monotonic()
    chunks = [range(at, min(at + _CHUNK, first + schedules)) for at in range(first, first + schedules, _CHUNK)]
    counts: Counter[str] = Counter()
    failures = 0
    with get_context("spawn").Pool(jobs) as pool:
        for number, (some, failed) in enumerate(pool.imap_unordered(run_seeds, chunks), start=1):
            counts.update(some)
            for seed, problem in failed:
                failures += 1
                print(f"FAILED seed {seed}: {problem}\n  replay: python -m tests.simulation --seed {seed}", flush=True)
            if number % 40 == 0:
                print(f"{counts['schedules']} schedules, {failures} failed, {time.monotonic() - began:.0f} s", flush=True)
    took = time.monotonic() - began
    print(", ".join(f"{value} {name}" for name, value in counts.items()))
    print(f"{failures} of {schedules} schedules failed; {took:.0f} s, {schedules / took:.0f} a second")
    return 1 if failures else 0


def main(arguments: list[str] | None = None) -> Any:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this seed and print all that happens")
    parser.add_argument("--schedules", type=int, default=1000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args(arguments)
    if options.seed is not None:
        return replay(options.seed)
    return soak(options.first, options.schedules, options.jobs)


if __name__ == "__main__":
    sys.exit(main())
