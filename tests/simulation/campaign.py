# SPDX-License-Identifier: Apache-2.0
"""Many seeds, counted."""

from __future__ import annotations

import gc
import logging
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from operator import attrgetter
from typing import Any

from airflow_provider_aigen.core.models import RunIdentity, SourceObject
from airflow_provider_aigen.core.service import classify
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.pipeline import source
from tests.simulation.draw import draw
from tests.simulation.driver import simulate
from tests.simulation.mutations import mutated
from tests.simulation.upkeep import draw_upkeep, simulate_upkeep

__all__ = ["run_seeds", "seeds_prepared"]

_REMEMBERED = 4096


def remember() -> None:
    """Pure functions that many simulated processes call with equal arguments need not be worked out each time."""
    if hasattr(S3Prefix.parse, "cache_info"):
        return
    _remember_property(SourceObject, "document_id", attrgetter("bucket", "key", "etag", "version_id"))
    _remember_property(RunIdentity, "run_key", attrgetter("dag_id", "task_id", "run_id", "map_index", "parameters"))
    S3Prefix.parse = staticmethod(lru_cache(_REMEMBERED)(S3Prefix.parse))  # type: ignore[method-assign,assignment]
    for owner, name in ((classify, "parse_answer"), (source, "preflight")):
        setattr(owner, name, lru_cache(_REMEMBERED)(getattr(owner, name)))


def _remember_property(owner: type, name: str, key: Callable[[Any], Any]) -> None:
    getter = owner.__dict__[name].fget
    known: dict[Any, Any] = {}

    def remembered(self: Any) -> Any:
        # Faster than a cache by the object itself: its equality compares field by field, in Python.
        of = key(self)
        try:
            return known[of]
        except KeyError:
            _make_room(known)
            return known.setdefault(of, getter(self))

    setattr(owner, name, property(remembered))


def _make_room(known: dict[Any, Any]) -> None:
    if len(known) >= _REMEMBERED:
        known.clear()


@contextmanager
def seeds_prepared() -> Iterator[None]:
    """Fast and quiet: no garbage is collected, nothing logged, and no word said about the coroutines that killed
    processes leave."""
    remember()
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    collecting, logging_off = gc.isenabled(), logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        logging.disable(logging_off)
        if collecting:
            gc.enable()
        sys.unraisablehook = hook


def run_seeds(
    seeds: range, mutation: str | None = None, *, upkeep: bool = False
) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Statistics, and the failing seeds with what broke. They leave their garbage, half a megabyte each."""
    counts: Counter[str] = Counter()
    failed = []
    with seeds_prepared(), mutated(mutation) if mutation else nullcontext():
        for seed in seeds:
            try:
                result: Any = simulate_upkeep(draw_upkeep(seed)) if upkeep else simulate(draw(seed))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this seed's
                failed.append((seed, f"{type(error).__name__}: {error}"))
                continue
            counts["schedules"] += 1
            counts.update({name: value for name, value in vars(result).items() if isinstance(value, int)})
    return counts, failed
