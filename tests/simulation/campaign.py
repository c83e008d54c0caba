# SPDX-License-Identifier: Apache-2.0
"""Many seeds, counted."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from functools import lru_cache

from airflow_provider_aigen.adapters import codec as codecs
from airflow_provider_aigen.core.models import SourceObject
from tests.simulation.driver import simulate
from tests.simulation.scenario import draw

__all__ = ["run_seeds"]

_REMEMBERED = 4096
_COLLECT_EVERY = 50


def remember() -> None:
    """Pure functions that many simulated processes call with equal arguments need not be worked out each time."""
    for codec in (codecs.ANSWER, codecs.BATCH, codecs.CLAIM, codecs.COMMIT, codecs.PLAN):
        if not hasattr(codec.from_gzip, "cache_info"):
            codec.from_gzip = lru_cache(_REMEMBERED)(codec.from_gzip)  # type: ignore[method-assign]
    of_object = SourceObject.document_id.fget
    if not hasattr(of_object, "cache_info"):
        SourceObject.document_id = property(lru_cache(_REMEMBERED)(of_object))  # type: ignore[method-assign,arg-type]


def run_seeds(seeds: range) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Statistics and the failing seeds with what broke."""
    counts: Counter[str] = Counter()
    failed = []
    remember()
    sys.unraisablehook = lambda _: None  # killed processes leave coroutines that no loop will finish
    gc.collect()
    gc.freeze()
    gc.disable()
    for seed in seeds:
        if seed % _COLLECT_EVERY == 0:
            gc.collect()
        scenario = draw(seed)
        try:
            result = simulate(scenario)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's
            failed.append((seed, f"{type(error).__name__}: {error}"))
            continue
        counts["schedules"] += 1
        counts.update({name: value for name, value in vars(result).items() if isinstance(value, int)})
    return counts, failed
