# SPDX-License-Identifier: Apache-2.0
"""Everything around the pipeline, simulated, and the pipeline's processes in it.

The pipeline, the core, the state adapter and the dead letters are the real ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from random import Random
from typing import Any

from airflow_provider_aigen import pipeline
from airflow_provider_aigen.adapters.ledger import DiskLedger
from airflow_provider_aigen.adapters.tables.parquet import ParquetTables
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.models import OutputSettings, RunIdentity
from airflow_provider_aigen.core.planning import PlanRequest, parameters_digest
from airflow_provider_aigen.pipeline import Ports, Stop
from tests.kit.limiter import EvenLimiter
from tests.kit.snapshot import Snapshot, snapshot_of
from tests.kit.store import Buckets
from tests.kit.world import ports_over
from tests.simulation import encodings
from tests.simulation.endpoint import Endpoint
from tests.simulation.loop import Clock, Loop, Process
from tests.simulation.network import Network
from tests.simulation.scenario import Run, Scenario, content_of
from tests.simulation.store import ProcessStore

__all__ = ["BUCKET", "DEAD_LETTERS", "DESTINATION", "RETRY_PASSING_S", "ROUNDS", "SOURCE", "STATE", "World"]

BUCKET = "bucket"
SOURCE = "incoming/"
DESTINATION = "lake/"
STATE = "lake/_aigen/"
DEAD_LETTERS = "dead/"
RETRY_PASSING_S = 20.0
ROUNDS = 3


class World:
    """One schedule's services and processes. ``processes`` has every process that ever was, in order, ``contents`` what
    ever lay in the source, and how often."""

    def __init__(self, scenario: Scenario, trace: Callable[[str], None] | None = None) -> None:
        encodings.use(real=scenario.real_codecs or scenario.real_adapters)
        self.scenario = scenario
        self.rng = Random(scenario.seed ^ 0x5EED)
        self.loop = Loop(self.rng, shuffle=scenario.shuffle)
        self.clock = Clock(self.loop)
        self.network = Network(self.loop, self.rng, scenario.faults, trace)
        self.buckets = Buckets(self.clock.now)
        self.bucket = self.buckets[BUCKET]
        self.endpoint = Endpoint(self.network, scenario.troubles)
        self.points_of_runs = 0
        self.processes: list[Process] = []
        self.runs: dict[Process, Run] = {}
        self.stops: dict[Process, Stop] = {}
        self.contents = Counter(scenario.objects.values())
        for key, what in scenario.objects.items():
            self.bucket.write(SOURCE + key, content_of(what))

    def change(self, key: str, what: tuple[str, int] | None) -> None:
        """Somebody puts, replaces or deletes a source object."""
        if what is not None:
            self.contents[what] += 1
        if self.network.trace is not None:
            self.network.trace(f"{self.loop.now:10.3f}  {'':<10} source {key} becomes {what}")
        if what is None:
            self.bucket.remove(SOURCE + key)
        else:
            self.bucket.write(SOURCE + key, content_of(what))

    def snapshot(self) -> Snapshot:
        """What lies in the store now."""
        return snapshot_of(self.buckets, *(f"s3://{BUCKET}/{prefix}" for prefix in (SOURCE, DESTINATION, DEAD_LETTERS)))

    def start(self, run: Run, *, plan_only: bool = False) -> Process:
        """A new process that works on ``run``: a try, a retry, or a cleared task."""
        process = Process(f"{run.dag}.{run.run_id}#{len(self.processes)}", self.loop, run)
        self.processes.append(process)
        self.runs[process] = run
        stop = self.stops[process] = Stop()
        ports = self._ports(process, run)
        config = _config(run.max_in_flight, run.repeat_ratio)
        if plan_only:
            process.start(pipeline.plan_stage(self._request(run), ports))
        else:
            process.start(pipeline.run(self._request(run), ports, config=config, stop=stop))
        self.network.say(process, "starts")
        return process

    def _request(self, run: Run) -> PlanRequest:
        return PlanRequest(
            run=identity(run),
            settings=settings(run.dag, run.run_id),
            bucket=BUCKET,
            prefix=SOURCE,
            matches=lambda key: key.startswith(SOURCE),
            batch_size=run.batch_size,
            max_documents=run.max_documents,
            retry_passing_after_s=RETRY_PASSING_S,
        )

    def _ports(self, process: Process, run: Run) -> Ports:
        store = ProcessStore(self.buckets, self.network, process)
        real: dict[str, Any] = {}
        if self.scenario.real_adapters:
            real = {"tables": ParquetTables(store), "new_ledger": DiskLedger}
        return ports_over(
            store,
            settings(run.dag, run.run_id),
            ocr=self.endpoint.client(process),
            limiter=EvenLimiter(self.clock, run.per_second),
            clock=self.clock,
            writer_id=process.name,
            jitter=self.rng.random,
            **real,
        )


def identity(run: Run) -> RunIdentity:
    """Whose run it is, and with which parameters."""
    return _identity(run.dag, run.run_id, run.max_documents)


@lru_cache(maxsize=4096)
def _identity(dag: str, run_id: str, max_documents: int | None) -> RunIdentity:
    digest = parameters_digest(f"s3://{BUCKET}/{SOURCE}", settings(dag, run_id), max_documents)
    return RunIdentity(dag, "ocr", run_id, parameters=digest)


@lru_cache
def _config(max_in_flight: int, repeat_ratio: float) -> PipelineConfig:
    return PipelineConfig(max_in_flight=max_in_flight, max_repeat_ratio=repeat_ratio, passing_rounds=ROUNDS)


@lru_cache
def settings(dag: str, run_id: str) -> OutputSettings:
    """Each DAG has settings of its own, so that it shows whose were used."""
    return OutputSettings(
        document_type="vehicle-registration-book/v2",
        destination=f"s3://{BUCKET}/{DESTINATION}",
        dead_letter=f"s3://{BUCKET}/{DEAD_LETTERS}{dag}/",
        partition=f"dag={dag}/run={run_id}",
        min_confidence={"a": None, "b": 0.5}[dag],
        copy_image=dag == "a",
    )
