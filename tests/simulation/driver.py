# SPDX-License-Identifier: Apache-2.0
"""Airflow, simulated: tries until success, clears, overlapping runs; then a quiet end, after which all is in order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from airflow_provider_aigen.core.errors import (
    AigenError,
    PermanentError,
    ReconciliationError,
    ServiceUnavailableError,
    StoppedError,
)
from airflow_provider_aigen.core.models import RunReport
from tests.kit.journal import Stopped
from tests.kit.laws import violations
from tests.kit.snapshot import Snapshot
from tests.simulation.endpoint import POISON
from tests.simulation.journal import Journal, Violation, check
from tests.simulation.loop import Process
from tests.simulation.scenario import FRESH, Blow, Run, Scenario
from tests.simulation.world import DESTINATION, World

__all__ = ["Crashed", "Result", "simulate"]

_MOST_TRIES = 30
_LAST_FAULT = 5  # a store that fails all the time lets nobody finish
_HEARTBEAT_S = 5.0  # after which a silent process counts as lost, though it may only sleep
_GRACE_S = 5.0  # between SIGTERM and SIGKILL


class Crashed(Exception):
    """A process ended with an error that is none of the project's: a bug, though no law speaks of it."""


class Result:
    """What a schedule was, for statistics."""

    def __init__(self, world: World, journal: Journal, end: Snapshot) -> None:
        self.steps = world.loop.steps
        self.points = world.network.points
        self.points_of_runs = world.points_of_runs
        self.changing = world.network.changing
        self.calls = len(world.endpoint.calls)
        self.processes = len(world.processes)
        self.late = journal.late
        self.paid_by_both = journal.account.count("both")
        self.paid_again = journal.account.count("lost")
        self.service_errors = end.service_errors


def simulate(scenario: Scenario, trace: Callable[[str], None] | None = None) -> Result:
    """Run one schedule to its end. Raises ``Violation``, ``Stuck`` where it has no end, or ``Crashed``."""
    world = World(scenario, trace)
    journal = Journal(world)
    journal.watch()
    end = world.loop.run(_Driver(world, journal).main())
    if journal.broken is not None:
        raise journal.broken
    return Result(world, journal, end)


class _Driver:
    def __init__(self, world: World, journal: Journal) -> None:
        self.world = world
        self.journal = journal
        self.reports: dict[tuple[str, str], RunReport] = {}
        self.poisoned: list[Run] = []

    async def main(self) -> Snapshot:
        world, scenario = self.world, self.world.scenario
        for at, key, what in scenario.changes:
            world.loop.later(at, world.change, key, what)
        await self._all([self._tries(run) for run in scenario.runs])
        last_change = max((at for at, _, _ in scenario.changes), default=0.0)
        await world.clock.sleep(max(0.0, last_change - world.loop.now) + 0.001)
        for process in world.processes:
            process.resume()
        await self._all([self._ended(process) for process in world.processes])
        return await self._quiet()

    async def _all(self, works: list[Coroutine[Any, Any, None]]) -> None:
        """The first that fails ends the schedule."""
        await asyncio.gather(*works)

    async def _ended(self, process: Process) -> None:
        await process.ended

    async def _tries(self, run: Run) -> None:
        world = self.world
        await world.clock.sleep(run.start)
        for attempt in range(_MOST_TRIES):
            if attempt == _LAST_FAULT:
                world.scenario.faults.until = 0.0
                await world.clock.sleep(max([0.0, *(one.end - world.loop.now for one in world.endpoint.outages)]))
            process = world.start(run)
            if attempt < len(run.blows):
                self._strike(process, run.blows[attempt])
            result = await self._watch(process)
            if isinstance(result, RunReport):
                self._reported(run, result)
                return
            if isinstance(result, ServiceUnavailableError) and attempt > _LAST_FAULT and self._has_poison():
                # Nothing but the document that always fails is left, so no try can tell whose fault it is (design §5).
                self.poisoned.append(run)
                return
            await world.clock.sleep(world.rng.random() * 10)
        raise Violation(f"run {run.run_id} of DAG {run.dag} does not succeed in {_MOST_TRIES} tries: {result!r}")

    def _has_poison(self) -> bool:
        return any(kind == POISON for kind, _ in self.world.scenario.objects.values())

    def _reported(self, run: Run, report: RunReport) -> None:
        if report.documents != report.extracted + report.partial + report.dead_letter + report.gone:
            raise Violation(f"the report does not add up: {report}")
        first = self.reports.setdefault((run.dag, run.run_id), report)
        for name in ("documents", "extracted", "partial", "dead_letter", "gone", "rows", "commits", "error_codes"):
            if getattr(first, name) != getattr(report, name):
                raise Violation(f"{name} of a cleared run was {getattr(first, name)}, is {getattr(report, name)}")

    async def _watch(self, process: Process) -> Any:
        """The end of a try as the scheduler sees it: its result, or None for one that no longer says anything."""
        loop, began = self.world.loop, self.world.loop.now
        silent = loop.create_future()

        def beat() -> None:
            if process.paused and not silent.done():
                silent.set_result(None)

        def until_the_next_beat() -> None:
            loop.later(_HEARTBEAT_S - (loop.now - began) % _HEARTBEAT_S, beat)

        process.on_pause = until_the_next_beat
        await asyncio.wait([process.ended, silent], return_when=asyncio.FIRST_COMPLETED)
        if not process.ended.done():
            return None
        result = process.ended.result()
        if isinstance(result, tuple):
            result, _ = result  # the report and where it lies
        if self.world.network.trace is not None:
            self.world.network.say(process, f"ended: {result!r}")
        _check_end(process, result)
        if isinstance(result, (PermanentError, ReconciliationError)) and not self.world.scenario.outages:
            raise Violation(f"{process.name} ended with {result!r}, which no try can mend") from _cause(result)
        return result

    def _strike(self, process: Process, blow: Blow) -> None:
        later = self.world.loop.later
        if blow.kind == "kill":
            process.die_at_step(int(blow.at))
        elif blow.kind == "kill_at":
            later(blow.at, process.kill)
        elif blow.kind == "pause":
            later(blow.at, self._pause, process, blow.lasts)
        else:
            later(blow.at, self._terminate, process)

    def _pause(self, process: Process, lasts: float) -> None:
        self.world.network.say(process, f"is paused for {lasts:.1f} s")
        process.pause()
        self.world.loop.later(lasts, process.resume)

    def _terminate(self, process: Process) -> None:
        if not process.ended.done():
            self.world.network.say(process, "is told to stop")
            self.world.stops[process].set(StoppedError("SIGTERM"))
            late = self.world.runs[process].max_in_flight
            self.journal.stops.append(Stopped(self.world.loop.now, math.inf, process, late))
            process.lost.append("grace")
            self.world.loop.later(_GRACE_S, process.kill)

    # --- after everything: no more faults ---------------------------------------------------------------------------

    async def _quiet(self) -> Snapshot:
        world, scenario = self.world, self.world.scenario
        scenario.faults.until = 0.0
        scenario.faults.crash_at = {}
        world.network.calm = True
        world.points_of_runs = world.network.points
        world.endpoint.outages = []
        if self._has_poison():
            for number, what in enumerate(FRESH):
                world.change(f"fresh-{number}.png", what)
        last = Run("a", "last", 0.0, 3, 4, 50.0, 20.0)
        self._reported(last, await self._once(last))
        for run in self.poisoned:
            self._reported(run, await self._once(run))
        if scenario.clear:
            before, calls = self._visible(), len(world.endpoint.calls)
            for run in [*scenario.runs, last]:
                self._reported(run, await self._once(run))
            if len(world.endpoint.calls) != calls:
                raise Violation(f"cleared runs made {len(world.endpoint.calls) - calls} calls")
            if before != self._visible():
                raise Violation("cleared runs changed what is visible")
        if scenario.rewrite:
            await self._rewrite()
        result = await self._finish(Run("a", "empty", 0.0, 3, 4, 50.0, 20.0))
        check(not result.documents, f"{result.documents} documents are left after the last run")
        end = world.snapshot()
        for violation in violations(end, self.journal):
            raise Violation(violation)
        return end

    async def _rewrite(self) -> None:
        """The tables are a pure function of the state: without them and the applied marks they come out the same."""
        world, before = self.world, self._visible()
        world.bucket.watch = lambda *_: None
        for key in [*world.bucket.under(DESTINATION)]:
            if key.endswith((".parquet", ".applied")):
                world.bucket.remove(key)
        await self._finish(Run("a", "rewrite", 0.0, 3, 4, 50.0, 20.0))
        if before != self._visible():
            raise Violation("the tables come out differently when they are written again")

    async def _once(self, run: Run) -> RunReport:
        result = None
        for _ in range(3):
            process = self.world.start(run)
            result = await self._watch(process)
            if not isinstance(result, ServiceUnavailableError):
                break  # else a document that fails now and then, with nobody beside it who could tell
        if not isinstance(result, RunReport):
            raise Violation(f"run {run.run_id} fails without a fault: {result!r}") from _cause(result)
        return result

    async def _finish(self, run: Run) -> Any:
        process = self.world.start(run, plan_only=True)
        result = await process.ended
        _check_end(process, result)
        if isinstance(result, BaseException):
            raise Violation(f"{process.name} fails without a fault: {result!r}") from _cause(result)
        return result

    def _visible(self) -> dict[str, bytes]:
        """The bytes of what an engine or a person reads. Images are left out: one whose source was gone when its record
        was written may be copied later, if the source came back."""
        snapshot = self.world.snapshot()
        return {uri: snapshot.objects[uri] for uri in (*snapshot.parts, *snapshot.records)}


def _check_end(process: Process, result: Any) -> None:
    """A law that a write or a call of the process broke; and every error of a process is one of the project's."""
    if isinstance(result, Violation):
        raise Violation(f"{process.name}: {result}") from result
    if isinstance(result, BaseException) and not isinstance(result, AigenError):
        raise Crashed(f"{process.name} ended with {result!r}") from result


def _cause(result: Any) -> BaseException | None:
    return result if isinstance(result, BaseException) else None
