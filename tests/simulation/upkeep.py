# SPDX-License-Identifier: Apache-2.0
"""Work on data that is written already, beside runs: redrives, rebuilds and erasures, killed at any point, twice at
once (:mod:`.upkeep_draw`). What must hold is in :mod:`.upkeep_laws`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import ConfigurationError, PermanentError
from airflow_provider_aigen.core.models import Outcome, RunIdentity, RunReport
from airflow_provider_aigen.core.upkeep.erasure import EraseRequest
from airflow_provider_aigen.core.upkeep.redrive import RedriveRequest
from airflow_provider_aigen.pipeline import Ports, Stop, process_stage, report_stage
from airflow_provider_aigen.pipeline.upkeep.erase import Receipt, erase
from airflow_provider_aigen.pipeline.upkeep.rebuild import RebuildRequest, rebuild
from airflow_provider_aigen.pipeline.upkeep.redrive import redrive_plan
from tests.simulation.driver import check_end
from tests.simulation.loop import Process
from tests.simulation.scenario import Blow, Run
from tests.simulation.store import ProcessStore
from tests.simulation.upkeep_draw import Schedule, Work, draw_upkeep
from tests.simulation.upkeep_laws import Watch, laws
from tests.simulation.violation import Violation, check
from tests.simulation.world import BUCKET, SOURCE, World, settings

__all__ = ["Result", "Upkeep", "draw_upkeep", "simulate_upkeep"]

_ENDS_S = 400.0  # a work ends within this time, once all is well
_REFUSED = ("has no state", "never taken", "no dead letter with the code")
_DESTINATION, _DEAD, _TYPE = (
    settings("a", "", None).destination,
    settings("a", "", None).dead_letter,
    settings("a", "", None).document_type,
)


def simulate_upkeep(schedule: Schedule, trace: Callable[[str], None] | None = None) -> Result:
    """Run one schedule to its end. Raises ``Violation``, ``Stuck`` or ``Crashed``."""
    world = World(schedule.scenario, trace)
    world.endpoint.heals_at = schedule.heals_at
    upkeep = Upkeep(world, schedule)
    world.loop.run(upkeep.whole())
    if upkeep.watch.broken is not None:
        raise upkeep.watch.broken
    return Result(upkeep)


class Result:
    """What a schedule was, for statistics: how many retakes, merged commits and erased outcomes there are at its
    end."""

    def __init__(self, upkeep: Upkeep) -> None:
        world, end = upkeep.world, upkeep.world.snapshot()
        self.steps = world.loop.steps
        self.points = world.network.points
        self.calls = len(world.endpoint.calls)
        self.processes = len(world.processes)
        self.redriven = sum(outcome.retakes is not None and outcome.has_rows for _, outcome in end.outcomes)
        self.merged = sum(len(group) for rebuild in upkeep.watch.rebuilds() for group in rebuild.merged)
        self.erased = sum(outcome.outcome is Outcome.ERASED for _, outcome in end.outcomes)


class _Versions:
    """``ports.Versions`` of a bucket that keeps no older ones."""

    def __init__(self, store: ProcessStore) -> None:
        self._store = store

    async def purge(self, bucket: str, key: str, *, keep_newest: bool = False, etag: str | None = None) -> int:
        there = [one async for one in self._store.list(bucket, key) if one.key == key and etag in (None, one.etag)]
        if keep_newest or not there:
            return 0
        await self._store.delete(bucket, key)
        return 1

    async def purge_replaced(self, bucket: str, prefix: str) -> int:
        return 0

    async def purge_all(self, bucket: str, prefix: str) -> int:
        keys = [one.key async for one in self._store.list(bucket, prefix)]
        for key in keys:
            await self._store.delete(bucket, key)
        return len(keys)


class Upkeep:
    """Starts the runs and the works of one schedule, strikes them, and puts all in order at the end."""

    def __init__(self, world: World, schedule: Schedule) -> None:
        self.world = world
        self.schedule = schedule
        self.watch = Watch(world)
        self.redrives: set[str] = set()
        self._done: set[str] = set()

    async def whole(self) -> None:
        schedule, world = self.schedule, self.world
        tasks = [self._tries(self._start_run(run), run) for run in schedule.scenario.runs]
        tasks += [self._tries(self._start_work(work), work) for work in schedule.works]
        await asyncio.gather(*tasks)
        for process in world.processes:
            process.resume()
        for process in list(world.processes):
            await process.ended
        await self._quiet()

    async def _quiet(self) -> None:
        """Nothing goes wrong any more. Each task is done once more, and ends; then everything is in order."""
        world, schedule = self.world, self.schedule
        world.scenario.faults.until = 0.0
        world.network.calm = True
        world.endpoint.heals_at = 0.0
        world.change("fresh.png", ("success", 100))
        await self._last(self._start_run(Run("a", "last")))
        world.change("fresher.png", ("success", 101))  # a run that commits removes what late writers left
        await self._last(self._start_run(Run("a", "later")))
        checks = laws(self)
        checks.rows_are_there_once("after the last run")
        checks.rows_have_the_limits_of_the_rebuilds()
        for number in range(1 + len(self.redrives)):  # equal bytes get answers that earlier redrives kept
            await self._last(self._start_work(Work("redrive", f"last-{number}")))
        if schedule.erased:
            receipt = await self._last(self._start_work(Work("erase", "last", keys=schedule.erased)), never_taken=True)
            assert receipt is None or isinstance(receipt, Receipt)
        checks.rows_are_there_once("after the last redrive and erasure")
        await self._last(self._start_work(Work("rebuild", "last", most_documents=3)))
        calls = len(world.endpoint.calls)
        await self._last(self._start_run(Run("a", "nothing")))
        check(len(world.endpoint.calls) == calls, "a run after the last one calls again")
        checks.all()
        parts = dict(world.snapshot().parts)
        for uri in parts:
            world.bucket.remove(uri.removeprefix(f"s3://{BUCKET}/"))
        await self._last(self._start_work(Work("rebuild", "purely", compact=False)))
        check(parts == world.snapshot().parts, "a rebuild of lost tables makes other parts")

    async def _last(self, start: Callable[[int], Process], *, never_taken: bool = False) -> Any:
        process = start(0)
        result = await process.ended
        check_end(process, result)
        if never_taken and isinstance(result, ConfigurationError) and "erased already" in str(result):
            return None
        if isinstance(result, BaseException):
            raise Violation(f"{process.name} fails without a fault: {result!r}") from result
        assert process.ended_at is not None
        took = process.ended_at - process.started
        check(took < _ENDS_S, f"{process.name} takes {took:.0f} s though all is well")
        return result

    # --- tries ------------------------------------------------------------------------------------------------------

    def _start_run(self, run: Run) -> Callable[[int], Process]:
        return lambda attempt: self.world.start(run, attempt)

    def _start_work(self, work: Work) -> Callable[[int], Process]:
        def start(attempt: int) -> Process:
            if work.kind == "redrive":
                self.redrives.add(work.name)
            return self.world.start_work(work.run, lambda ports, store: self._coroutine(work, ports, store))

        return start

    def _coroutine(self, work: Work, ports: Ports, store: ProcessStore) -> Coroutine[Any, Any, Any]:
        identity = RunIdentity("upkeep", work.kind, work.name)
        if work.kind == "redrive":
            return _redrive(RedriveRequest(identity, _DESTINATION, _DEAD, _TYPE, batch_size=2), ports)
        if work.kind == "rebuild":
            request = RebuildRequest(
                identity.run_key,
                _DESTINATION,
                min_confidence=work.min_confidence,
                compact=work.compact,
                most_documents=work.most_documents,
            )
            return rebuild(request, ports)
        uris = tuple(f"s3://{BUCKET}/{SOURCE}{key}" for key in work.keys)
        return self._erase(EraseRequest(identity, _DESTINATION, _DEAD, uris), ports, store)

    async def _erase(self, request: EraseRequest, ports: Ports, store: ProcessStore) -> Receipt:
        receipt = await erase(request, ports, _Versions(store))
        self.watch.erased(request.source_uris)
        return receipt

    async def _tries(self, start: Callable[[int], Process], task: Run | Work) -> None:
        await self.world.clock.sleep(task.start)
        for attempt in range(1 + task.retries + len(task.blows)):
            process = start(attempt)
            if attempt < len(task.blows):
                self._strike(process, task.blows[attempt])
            result = await self._seen(process)
            if isinstance(result, PermanentError):
                expected = isinstance(result, ConfigurationError) and any(one in str(result) for one in _REFUSED)
                check(expected, f"{process.name} ended with {result!r}, which no try can mend")
                return
            if result is not None and not isinstance(result, BaseException):
                if isinstance(result, tuple):
                    check(isinstance(result[0], RunReport), f"{process.name} ended with {result!r}")
                return
            await self.world.clock.sleep(task.retry_after)

    async def _seen(self, process: Process) -> Any:
        """Its result as the scheduler sees it: None for one that is killed or sleeps."""
        silent = self.world.loop.create_future()

        def beat() -> None:
            if process.paused and not silent.done():
                silent.set_result(None)

        process.on_pause = lambda: self.world.loop.later(5.0, beat)
        await asyncio.wait([process.ended, silent], return_when=asyncio.FIRST_COMPLETED)
        if not process.ended.done():
            return None
        result = process.ended.result()
        if self.world.network.trace is not None:
            self.world.network.say(process, f"ended: {result!r}")
        check_end(process, result)
        return result

    def _strike(self, process: Process, blow: Blow) -> None:
        later = self.world.loop.later
        if blow.kind == "kill":
            process.die_at_step(int(blow.at))
        elif blow.kind == "kill_at":
            later(blow.at, process.kill)
        elif blow.kind in ("freeze", "late"):
            late = blow.kind == "late"
            self.watch.freeze_after[process] = int(blow.at), lambda: self._pause(process, blow.lasts, late=late)
        else:
            later(blow.at, self._pause, process, blow.lasts)

    def _pause(self, process: Process, lasts: float, *, late: bool = False) -> None:
        self.world.network.say(process, f"is paused for {lasts:.1f} s")
        process.pause()
        if late and not process.dead:
            process.die_at_step(self.world.rng.randint(2, 40))
        self.world.loop.later(lasts, process.resume)


async def _redrive(request: RedriveRequest, ports: Ports) -> Any:
    plan = await redrive_plan(request, ports)
    counts = await process_stage(plan, ports, config=PipelineConfig(max_in_flight=2, spend_s=10.0), stop=Stop())
    return await report_stage(plan, ports, counts)
