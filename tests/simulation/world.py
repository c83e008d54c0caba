# SPDX-License-Identifier: Apache-2.0
"""Everything around the pipeline, simulated, and the pipeline's processes in it.

The pipeline, the core, the state adapter and the dead letters are the real ones.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import lru_cache
from random import Random
from typing import Any

from airflow_provider_aigen import pipeline
from airflow_provider_aigen.adapters.ledger import DiskLedger
from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from airflow_provider_aigen.adapters.tables.parquet import ParquetTables
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.models import OutputSettings, RunIdentity
from airflow_provider_aigen.core.planning import PlanRequest, parameters_digest
from airflow_provider_aigen.core.service.codes import DAMAGED_STATE
from airflow_provider_aigen.pipeline import Ports, Stop
from airflow_provider_aigen.ports import RateLimiter
from tests.kit.limiter import EvenLimiter
from tests.kit.snapshot import Snapshot, snapshot_of
from tests.kit.store import Buckets
from tests.kit.world import ports_over
from tests.simulation import encodings
from tests.simulation.clocks import Clock, MovingClock
from tests.simulation.endpoint import NO_CALL, Endpoint
from tests.simulation.loop import Loop, Process
from tests.simulation.network import Network
from tests.simulation.scenario import Damage, Denial, Run, Scenario, What, content_of
from tests.simulation.store import ProcessStore

__all__ = [
    "BUCKET",
    "DEAD_LETTERS",
    "DESTINATION",
    "NOTED_EVERY_S",
    "RETRY_PASSING_S",
    "ROUNDS",
    "SOURCE",
    "STATE",
    "World",
]

BUCKET = "bucket"
SOURCE = "incoming/"
DESTINATION = "lake/"
STATE = "lake/_aigen/"
DEAD_LETTERS = "dead/"
RETRY_PASSING_S = 20.0
ROUNDS = 3
NOTED_EVERY_S = 10.0
GARBAGE = b"what is this"
_CONNECT_S = 0.3


class World:
    """One schedule's services and processes. ``processes`` has every process that ever was, in order, ``contents`` what
    ever lay in the source, and how often."""

    def __init__(self, scenario: Scenario, trace: Callable[[str], None] | None = None) -> None:
        encodings.use(real=scenario.real_codecs or scenario.real_adapters)
        self.scenario = scenario
        self.rng = Random(scenario.seed ^ 0x5EED)
        self.clock_rng = Random(scenario.seed ^ 0xC10C)
        self.loop = Loop(self.rng, shuffle=scenario.shuffle)
        self.clock = Clock(self.loop)
        self.network = Network(self.loop, self.rng, scenario.faults, trace)
        self.buckets = Buckets(self.clock.second)
        self.bucket = self.buckets[BUCKET]
        self.endpoint = Endpoint(self.network, list(scenario.troubles), _CONNECT_S if scenario.clock_step_s else 0.0)
        self.denials: list[Denial] = list(scenario.denials)
        self.damaged: dict[str, bytes] = {}  # key → what was there
        self.points_of_runs = 0
        self.calm_at = math.inf
        self.processes: list[Process] = []
        self.runs: dict[Process, Run] = {}
        self.stops: dict[Process, Stop] = {}
        self.ahead: dict[Process, timedelta] = {}  # how wrong its clock is
        self.contents = Counter(scenario.objects.values())
        self.sha256: dict[str, str] = {}  # by ETag
        self.kinds: dict[str, str] = {}  # by SHA-256
        self.times: Counter[str] = Counter()  # how often a content, by its SHA-256, was put there
        self.touched = {SOURCE + key for _, key, _ in scenario.changes}
        self.first_seen: dict[str, set[str]] = {}  # run key → what lay in its source when its first try began
        self.last_seen: dict[Process, set[str]] = {}  # what lay there when this one ended
        for key, what in scenario.objects.items():
            self._write(key, what)

    # --- what people and other programs do ------------------------------------------------------------------------

    def change(self, key: str, what: What | None) -> None:
        """Somebody puts, replaces or deletes a source object."""
        self.tell(f"source {key} becomes {what}")
        if what is None:
            self.bucket.remove(SOURCE + key)
        else:
            self.contents[what] += 1
            self._write(key, what)

    def _write(self, key: str, what: What) -> None:
        body = content_of(what)
        self.bucket.write(SOURCE + key, body)
        sha256 = self.sha256[self.bucket.objects[SOURCE + key].etag] = _sha256(body)
        self.kinds[sha256] = what[0]
        self.times[sha256] += 1

    @property
    def never_called(self) -> set[str]:
        """The SHA-256 of what is refused before any call."""
        return {sha256 for sha256, kind in self.kinds.items() if kind in NO_CALL}

    def listed(self, run: Run) -> set[str]:
        """The ids of what lies in the run's source now, and nobody touches."""
        keys = self.bucket.under(SOURCE + run.source)
        return {
            self.bucket.listed(key).document_id for key in keys if key not in self.touched and not key.endswith("/")
        }

    def damage(self, damage: Damage) -> None:
        """Something else writes over a claim or an answer, if there is one."""
        keys = [key for key in self.bucket.under(f"{STATE}{damage.folder}/") if key not in self.damaged]
        if keys and not self.network.calm:
            key = self.rng.choice(keys)
            self.tell(f"{key} is damaged")
            self.damaged[key] = self.bucket.objects[key].body
            self.bucket.write(key, GARBAGE)
            delete = damage.folder in ("claims", "ledger") or self.rng.random() < 0.5
            self.loop.later(damage.mended, self.mend, key, delete)

    def mend(self, key: str, delete: bool) -> None:
        """An operator mends it, and deletes no answer on which rows rest, or may soon."""
        before = self.damaged.pop(key, None)
        if before is None or self.bucket.objects[key].body != GARBAGE:
            return
        if delete and ("/answers/" not in key or self._is_left_out(key)):
            self.tell(f"{key} is deleted")
            self.bucket.remove(key)
        else:
            self.tell(f"{key} is restored")
            self.bucket.write(key, before)

    def _is_left_out(self, key: str) -> bool:
        """Whether the commits have made dead letters of all that has this content, and no process knows its answer."""
        codes = [
            outcome.error_codes
            for _, outcome in self.snapshot().outcomes
            if outcome.content_sha256 and outcome.content_sha256 in key
        ]
        known = any(call.sha256 in key and not call.process.ended.done() for call in self.endpoint.calls)
        return bool(codes) and set(codes) == {(DAMAGED_STATE,)} and not known

    def tell(self, what: str) -> None:
        if self.network.trace is not None:
            self.network.trace(f"{self.loop.now:10.3f}  {'':<10} {what}")

    def denied(self, verb: str, key: str) -> bool:
        """Whether S3 denies this request now."""
        now = self.loop.now
        return any(one.verb == verb and key.startswith(one.key) and one.start <= now < one.end for one in self.denials)

    # --- processes ------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """What lies in the store now."""
        return snapshot_of(self.buckets, *(f"s3://{BUCKET}/{prefix}" for prefix in (SOURCE, DESTINATION, DEAD_LETTERS)))

    def start(self, run: Run, attempt: int = 0, *, plan_only: bool = False) -> Process:
        """A new process that works on ``run``: a try, a retry, or a cleared task."""
        process = Process(f"{run.dag}.{run.run_id}#{len(self.processes)}", self.loop, run)
        self.processes.append(process)
        self.runs[process] = run
        self.first_seen.setdefault(identity(run).run_key, self.listed(run))
        stop = self.stops[process] = Stop()
        ahead_s = run.clocks[attempt % len(run.clocks)]
        self.ahead[process] = timedelta(seconds=ahead_s)
        ports = self._ports(process, run, ahead_s)
        config = _config(run.max_in_flight, run.repeat_ratio)
        if plan_only:
            process.start(pipeline.plan_stage(self._request(run), ports))
        else:
            process.start(pipeline.run(self._request(run), ports, config=config, stop=stop))
        self.network.say(process, "starts")
        process.ended.add_done_callback(
            lambda _: self.last_seen.setdefault(process, self.listed(run)), context=self.loop.outside
        )
        return process

    def start_work(self, run: Run, work: Callable[[Ports, ProcessStore], Coroutine[Any, Any, Any]]) -> Process:
        """A new process that does other work than a run: a redrive, a rebuild, an erasure."""
        process = Process(f"{run.run_id}#{len(self.processes)}", self.loop, run)
        self.processes.append(process)
        self.runs[process] = run
        store = ProcessStore(self.buckets, self.network, process)
        process.start(work(self._ports(process, run, 0.0), store))
        self.network.say(process, "starts")
        return process

    def _request(self, run: Run) -> PlanRequest:
        prefix = SOURCE + run.source
        return PlanRequest(
            run=identity(run),
            settings=settings(run.dag, run.run_id, run.min_confidence),
            bucket=BUCKET,
            prefix=prefix,
            matches=lambda key: key.startswith(prefix),
            batch_size=run.batch_size,
            max_documents=run.max_documents,
            retry_passing_after_s=RETRY_PASSING_S,
            folding=self.scenario.folding,
        )

    def _ports(self, process: Process, run: Run, ahead_s: float) -> Ports:
        store = ProcessStore(self.buckets, self.network, process, self.denied if self.denials else None)
        real: dict[str, Any] = {}
        if self.scenario.real_adapters:
            real = {"tables": ParquetTables(store), "new_ledger": DiskLedger}
        clock = self._clock(ahead_s)
        limiter: RateLimiter = EvenLimiter(clock, run.per_second)
        if self.scenario.clock_step_s:
            limiter = LocalRateLimiter(run.per_second, clock)
        ports = ports_over(
            store,
            settings(run.dag, run.run_id, run.min_confidence),
            ocr=self.endpoint.client(process),
            limiter=limiter,
            clock=clock,
            writer_id=process.name,
            jitter=self.rng.random,
            **real,
        )
        ports.state.applied_every = self.scenario.folding.commits  # type: ignore[attr-defined]
        return ports

    def _clock(self, ahead_s: float) -> Clock:
        """That of a new process."""
        if self.scenario.clock_step_s:
            return MovingClock(self.loop, ahead_s, self.clock_rng, self.scenario.clock_step_s)
        return Clock(self.loop, ahead_s) if ahead_s else self.clock


def identity(run: Run) -> RunIdentity:
    """Whose run it is, and with which parameters."""
    return _identity(run.dag, run.run_id, run.map_index, run.source, run.max_documents, run.min_confidence)


@lru_cache(maxsize=4096)
def _identity(
    dag: str, run_id: str, map_index: int, source: str, max_documents: int | None, min_confidence: float | None
) -> RunIdentity:
    uri, those = f"s3://{BUCKET}/{SOURCE}{source}", settings(dag, run_id, min_confidence)
    return RunIdentity(dag, "ocr", run_id, map_index, parameters_digest(uri, those, max_documents))


@lru_cache(maxsize=4096)
def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


@lru_cache
def _config(max_in_flight: int, repeat_ratio: float) -> PipelineConfig:
    return PipelineConfig(
        max_in_flight=max_in_flight, max_repeat_ratio=repeat_ratio, passing_rounds=ROUNDS, spend_s=NOTED_EVERY_S
    )


@lru_cache
def settings(dag: str, run_id: str, min_confidence: float | None) -> OutputSettings:
    """Each DAG has settings of its own, so that it shows whose were used."""
    return OutputSettings(
        document_type="vehicle-registration-book/v2",
        destination=f"s3://{BUCKET}/{DESTINATION}",
        dead_letter=f"s3://{BUCKET}/{DEAD_LETTERS}{dag}/",
        partition=f"dag={dag}/run={run_id}",
        min_confidence=min_confidence,
        copy_image=dag == "a",
        record_schema=(("color", "text"),) if dag == "b" else (),
    )
