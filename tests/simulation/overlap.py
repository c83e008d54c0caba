# SPDX-License-Identifier: Apache-2.0
"""Two runs that plan the same objects at the same time: what share of the calls do both pay?"""

from __future__ import annotations

from random import Random

from tests.simulation.driver import Result, simulate
from tests.simulation.network import Faults
from tests.simulation.scenario import Run, Scenario

__all__ = ["overlap"]


def overlap(seed: int, documents: int = 120) -> Result:
    """Two DAG runs over the same prefix, without a fault but latencies of calls of up to 30 s."""
    rng = Random(seed)
    runs = [
        Run(
            "a",
            f"r{number}",
            start=number * rng.choice((0.0, 0.3, 5.0)) * rng.random(),
            batch_size=rng.choice((10, 25, 60)),
            max_in_flight=rng.choice((4, 16)),
            per_second=rng.choice((5.0, 20.0, 100.0)),
        )
        for number in range(2)
    ]
    return simulate(
        Scenario(
            seed=seed,
            profile="same objects, same time",
            objects={f"{number:04d}.png": ("success", number) for number in range(documents)},
            runs=runs,
            faults=Faults(until=1e9, call_slow=rng.choice((0.0, 0.05)), store_slow=rng.choice((0.0, 0.01))),
            clear=False,
        )
    )
