# SPDX-License-Identifier: Apache-2.0
"""Airflow, simulated: tries of runs that may overlap, until success or until no retry is left; then a quiet end, after
which all is in order, and clears."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from airflow_provider_aigen.core.errors import (
    AccountError,
    AigenError,
    AuthenticationError,
    ContractError,
    PermanentError,
    ReconciliationError,
    StoppedError,
)
from airflow_provider_aigen.core.models import RunReport
from airflow_provider_aigen.core.service.health import REFUSED_SIZES
from tests.kit.journal import Stopped
from tests.kit.laws import violations
from tests.kit.snapshot import Snapshot
from tests.simulation.failures import TROUBLES
from tests.simulation.journal import Journal, Violation, check
from tests.simulation.loop import Process
from tests.simulation.scenario import Blow, Run, Scenario
from tests.simulation.world import DESTINATION, RETRY_PASSING_S, ROUNDS, World, identity

__all__ = ["Crashed", "Result", "simulate"]

_HEARTBEAT_S = 5.0  # after which a silent process counts as lost, though it may only sleep
_GRACE_S = 5.0  # between SIGTERM and SIGKILL
_COUNTS = ("extracted", "partial", "dead_letter", "gone", "rows", "commits", "error_codes")


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
        self.paid_again = journal.account.count("lost")
        self.letters = sum(outcome.last_called_at is not None for _, outcome in end.outcomes)
        self.healed = sum(outcome.has_rows and outcome.retakes is not None for _, outcome in end.outcomes)
        self.final = end.service_errors


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
        self.reports: dict[str, RunReport] = {}

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
        """A run, and its retries as long as one helps."""
        world = self.world
        await world.clock.sleep(run.start)
        for attempt in range(1 + run.retries):
            process = world.start(run)
            if attempt < len(run.blows):
                self._strike(process, run.blows[attempt])
            result = await self._watch(process)
            if isinstance(result, RunReport):
                self._reported(run, result)
                return
            if isinstance(result, PermanentError):
                return
            await world.clock.sleep(run.retry_after)

    def _reported(self, run: Run, report: RunReport) -> None:
        if report.documents != report.extracted + report.partial + report.dead_letter + report.gone:
            raise Violation(f"the report does not add up: {report}")
        first = self.reports.setdefault(identity(run).run_key, report)
        if first.documents != report.documents:
            raise Violation(f"documents of a cleared run were {first.documents}, are {report.documents}")
        if first is not report and self._owns_all(run):
            for name in _COUNTS:
                if getattr(first, name) != getattr(report, name):
                    raise Violation(f"{name} of a cleared run was {getattr(first, name)}, is {getattr(report, name)}")

    def _owns_all(self, run: Run) -> bool:
        """Whether every document of the run's plan has its outcome by this run: others' may change later."""
        store, who = self.world.snapshot(), identity(run)
        own = {outcome.document.document_id for entry, outcome in store.outcomes if entry.run == who}
        return own.issuperset(store.planned.get(who, ()))

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
        if isinstance(result, PermanentError | ReconciliationError) and not self._may_stop(process, result):
            raise Violation(f"{process.name} ended with {result!r}, which no try can mend") from _cause(result)
        return result

    def _may_stop(self, process: Process, result: BaseException) -> bool:
        """Whether what the endpoint said to this process is a reason to try no more."""
        if any(one.kind in TROUBLES for one in self.world.scenario.troubles):
            return isinstance(result, AuthenticationError | AccountError)
        own = [call for call in self.world.endpoint.calls if call.process is process]
        if isinstance(result, AuthenticationError):
            return not any(call.well for call in own) and any(call.status == 403 for call in own)
        refused = {call.sha256 for call in own if call.failed and call.status == 413}
        return isinstance(result, ContractError) and len(refused) >= REFUSED_SIZES

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
        world.endpoint.troubles = []
        lasts = await self._last_runs()
        if scenario.clear:
            for run in scenario.runs:
                if identity(run).run_key not in self.reports:
                    self._reported(run, await self._once(run))
            before, calls = self._visible(), len(world.endpoint.calls)
            for run in [*scenario.runs, *lasts]:
                self._reported(run, await self._once(run))
            if len(world.endpoint.calls) != calls:
                raise Violation(f"cleared runs made {len(world.endpoint.calls) - calls} calls")
            if before != self._visible():
                raise Violation("cleared runs changed what is visible")
        if scenario.rewrite:
            await self._rewrite()
        result = await self._finish(Run("a", "empty"))
        check(not result.documents, f"{result.documents} documents are left after the last run")
        end = world.snapshot()
        for violation in violations(end, self.journal):
            raise Violation(violation)
        return end

    async def _last_runs(self) -> list[Run]:
        """As many as it takes until nothing is tried again any more; each has something new to be read, too."""
        runs: list[Run] = []
        while True:
            for number in range(ROUNDS):
                self.world.change(f"fresh-{len(runs)}-{number}.png", ("success", 100 + 10 * len(runs) + number))
            runs.append(Run("a", f"last-{len(runs)}"))
            self._reported(runs[-1], await self._once(runs[-1]))
            passing = [
                outcome.document.document_id for _, outcome in self.world.snapshot().newest.values() if outcome.passing
            ]
            if not passing:
                return runs
            check(len(runs) <= 1 + ROUNDS, f"{passing} are still passing after {len(runs)} runs")
            await self.world.clock.sleep(2 * RETRY_PASSING_S + 1)

    async def _rewrite(self) -> None:
        """The tables are a pure function of the state: without them and the applied marks they come out the same."""
        world, before = self.world, self._visible()
        world.bucket.watch = lambda *_: None
        for key in [*world.bucket.under(DESTINATION)]:
            if key.endswith((".parquet", ".applied")):
                world.bucket.remove(key)
        await self._finish(Run("a", "rewrite"))
        if before != self._visible():
            raise Violation("the tables come out differently when they are written again")

    async def _once(self, run: Run) -> RunReport:
        result = await self._watch(self.world.start(run))
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
