# SPDX-License-Identifier: Apache-2.0
"""Many seeds, counted."""

from __future__ import annotations

import sys
from collections import Counter

from tests.simulation.driver import simulate
from tests.simulation.scenario import draw

__all__ = ["run_seeds"]


def run_seeds(seeds: range) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Statistics and the failing seeds with what broke."""
    counts: Counter[str] = Counter()
    failed = []
    sys.unraisablehook = lambda _: None  # killed processes leave coroutines that no loop will finish
    for seed in seeds:
        scenario = draw(seed)
        try:
            result = simulate(scenario)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's
            failed.append((seed, f"{type(error).__name__}: {error}"))
            continue
        counts["schedules"] += 1
        counts.update({name: value for name, value in vars(result).items() if isinstance(value, int)})
    return counts, failed
