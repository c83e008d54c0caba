# SPDX-License-Identifier: Apache-2.0
"""What happens in one schedule: which objects, which runs, what goes wrong and when."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache

from airflow_provider_aigen.core.folding import Folding
from tests.simulation.endpoint import content
from tests.simulation.failures import Trouble
from tests.simulation.network import Faults

__all__ = ["Blow", "Damage", "Denial", "Run", "Scenario", "What", "content_of"]

What = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Blow:
    """What happens to one try: ``kill`` before its step ``at``; ``kill_at``, ``pause``, ``cut`` (off from the store) or
    ``stop`` (SIGTERM, then SIGKILL) at ``at`` seconds after its start; ``freeze`` is a pause at the worst moment, when
    its commit number ``at`` has just been written, and its effects have not. ``lasts`` is how long a pause or a cut
    is."""

    kind: str
    at: float
    lasts: float = 0.0


@dataclass(frozen=True, slots=True)
class Denial:
    """From ``start`` to ``end`` S3 denies requests of this verb for keys that begin with ``key``."""

    verb: str
    key: str = ""
    start: float = 0.0
    end: float = math.inf


@dataclass(frozen=True, slots=True)
class Damage:
    """At ``at`` something else writes over one of the objects in this folder of the state: ``claims``, ``answers`` or
    ``ledger``.
    ``mended`` seconds later an operator deletes it, or puts back what was there."""

    folder: str
    at: float
    mended: float


@dataclass(slots=True)
class Run:
    """One DAG run of one DAG, or one of its mapped tasks. Each try meets the next of ``blows``, those after them none;
    after a try that failed the next one begins ``retry_after`` seconds later, at most ``retries`` times. ``clocks`` is
    how wrong the clocks of its tries are, in turn. From try ``changes_at`` on it has the parameters ``changed``."""

    dag: str
    run_id: str
    start: float = 0.0
    batch_size: int = 3
    max_in_flight: int = 4
    per_second: float = 50.0
    max_documents: int | None = None
    min_confidence: float | None = None
    source: str = ""
    map_index: int = -1
    retries: int = 0
    retry_after: float = 1.0
    repeat_ratio: float = 0.2
    blows: list[Blow] = field(default_factory=list)
    clocks: tuple[float, ...] = (0.0,)
    changes_at: int | None = None
    changed: dict[str, object] = field(default_factory=dict)

    def at(self, attempt: int) -> Run:
        """The run as its parameters are in this try."""
        if self.changes_at is None or attempt < self.changes_at:
            return self
        return replace(self, changes_at=None, **self.changed)  # type: ignore[arg-type]


@dataclass(slots=True)
class Scenario:
    """``objects`` maps a key under the source to what lies there, ``changes`` are (time, key, what or None). ``alone``:
    nothing comes to be answered beside the documents that fail. ``folding``: the ledger is folded after a few commits,
    as otherwise hardly any schedule would have one. ``clock_step_s``: each look at a process's clock
    moves it by up to so much; where it is 0, time stands still while a step runs."""

    seed: int
    profile: str
    objects: dict[str, What]
    runs: list[Run]
    changes: list[tuple[float, str, What | None]] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    denials: list[Denial] = field(default_factory=list)
    damages: list[Damage] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)
    alone: bool = False
    shuffle: bool = False
    real_adapters: bool = False
    real_codecs: bool = True
    clear: bool = True
    rewrite: bool = False
    clock_step_s: float = 0.0
    folding: Folding = field(default_factory=lambda: Folding(commits=2, factor=2))


@lru_cache(maxsize=1024)
def content_of(what: What) -> bytes:
    return content(*what)
