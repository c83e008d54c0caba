# SPDX-License-Identifier: Apache-2.0
"""Airflow, simulated: tries of runs that may overlap, until success or until no retry is left; then a quiet end
(:mod:`.quiet`), after which all is in order."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

from airflow_provider_aigen.core.errors import (
    AccountError,
    AigenError,
    AuthenticationError,
    ConfigurationError,
    ContractError,
    PermanentError,
    ReconciliationError,
    StoppedError,
)
from airflow_provider_aigen.core.models import RunReport
from airflow_provider_aigen.core.service.health import REFUSED_SIZES
from tests.kit.journal import Stopped
from tests.kit.snapshot import Snapshot
from tests.simulation.failures import TROUBLES
from tests.simulation.journal import Journal
from tests.simulation.loop import Process
from tests.simulation.quiet import Quiet
from tests.simulation.scenario import Blow, Run, Scenario
from tests.simulation.violation import Violation
from tests.simulation.world import World, identity

__all__ = ["Airflow", "Crashed", "Result", "simulate"]

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
    try:
        end = world.loop.run(_whole(Airflow(world, journal)))
    except Violation:
        if journal.broken is not None:  # it was first
            raise journal.broken from None
        raise
    if journal.broken is not None:
        raise journal.broken
    return Result(world, journal, end)


async def _whole(airflow: Airflow) -> Snapshot:
    await airflow.runs()
    return await Quiet(airflow).end()


class Airflow:
    """Starts the tries of runs, and strikes them."""

    def __init__(self, world: World, journal: Journal) -> None:
        self.world = world
        self.journal = journal
        self.reports: dict[str, RunReport] = {}

    async def runs(self) -> None:
        """All runs of the scenario, until every process has ended."""
        world, scenario = self.world, self.world.scenario
        for at, key, what in scenario.changes:
            world.loop.later(at, world.change, key, what)
        for damage in scenario.damages:
            world.loop.later(damage.at, world.damage, damage)
        await self._all([self._tries(run) for run in scenario.runs])
        last_change = max((at for at, _, _ in scenario.changes), default=0.0)
        await world.clock.sleep(max(0.0, last_change - world.loop.now) + 0.001)
        for process in world.processes:
            process.resume()
        await self._all([self._ended(process) for process in world.processes])

    async def _all(self, works: list[Coroutine[Any, Any, None]]) -> None:
        """The first that fails ends the schedule."""
        await asyncio.gather(*works)

    async def _ended(self, process: Process) -> None:
        await process.ended

    async def _tries(self, run: Run) -> None:
        """A run, and its retries as long as one helps."""
        await self.world.clock.sleep(run.start)
        for attempt in range(1 + run.retries):
            now = run.at(attempt)
            process = self.world.start(now, attempt)
            if attempt < len(run.blows):
                self._strike(process, run.blows[attempt])
            result = await self.watch(process)
            if isinstance(result, RunReport):
                self.reported(now, result)
                if run.changes_at is None or attempt >= run.changes_at:
                    return  # else somebody changes the parameters and clears it
            elif isinstance(result, PermanentError | ReconciliationError) and not run.changes_at:
                return
            await self.world.clock.sleep(run.retry_after)

    def reported(self, run: Run, report: RunReport) -> None:
        """A try has succeeded: the report adds up, and says the same as that of an earlier try."""
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

    async def watch(self, process: Process) -> Any:
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
        check_end(process, result)
        if isinstance(result, PermanentError | ReconciliationError) and not self._may_stop(process, result):
            raise Violation(f"{process.name} ended with {result!r}, which no try can mend") from result
        return result

    def _may_stop(self, process: Process, result: BaseException) -> bool:
        """Whether there is a reason to try no more: what the endpoint said to this process, S3, or damage."""
        if isinstance(result, ReconciliationError):
            return any("/answers/" in key for key in self.world.damaged)
        if isinstance(result, ConfigurationError):
            return any(one.verb == "get" for one in self.world.denials)
        troubled = any(one.kind in TROUBLES for one in self.world.scenario.troubles)
        if troubled and isinstance(result, AuthenticationError | AccountError):
            return True
        own = [call for call in self.world.endpoint.calls if call.process is process]
        if isinstance(result, AuthenticationError):
            # Since the last answer, nothing but refusals, of more than the one document that is always refused.
            well = [number for number, call in enumerate(own) if call.well]
            refused = {call.sha256 for call in own[well[-1] + 1 if well else 0 :] if call.status == 403}
            return len(refused) > 1 or (not well and bool(refused))
        refused, planned = {call.sha256 for call in own if call.status == 413}, self.journal.plan_of(process)
        assert planned is not None
        documents = sum(planned.contents[sha256] for sha256 in refused)
        return isinstance(result, ContractError) and documents >= REFUSED_SIZES

    # --- what befalls a process -----------------------------------------------------------------------------------

    def _strike(self, process: Process, blow: Blow) -> None:
        later = self.world.loop.later
        if blow.kind == "kill":
            process.die_at_step(int(blow.at))
        elif blow.kind == "kill_at":
            later(blow.at, process.kill)
        elif blow.kind == "pause":
            later(blow.at, self._pause, process, blow.lasts)
        elif blow.kind == "freeze":
            process.frozen_at, process.on_freeze = int(blow.at), lambda: self._pause(process, blow.lasts)
        elif blow.kind == "cut":
            later(blow.at, self._cut, process, blow.lasts)
        else:
            later(blow.at, self._terminate, process)

    def _pause(self, process: Process, lasts: float) -> None:
        self.world.network.say(process, f"is paused for {lasts:.1f} s")
        process.pause()
        self.world.loop.later(lasts, process.resume)

    def _cut(self, process: Process, lasts: float) -> None:
        if not process.ended.done():
            self.world.network.say(process, f"is cut off from the store for {lasts:.1f} s")
            process.cut_until = self.world.loop.now + lasts
            process.lost.append("cut off")

    def _terminate(self, process: Process) -> None:
        if not process.ended.done():
            self.world.network.say(process, "is told to stop")
            self.world.stops[process].set(StoppedError("SIGTERM"))
            self.journal.stops.append(Stopped(self.world.loop.now, math.inf, process))
            process.lost.append("stopped")
            self.world.loop.later(_GRACE_S, process.kill)


def check_end(process: Process, result: Any) -> None:
    """A law that a write or a call of the process broke; and every error of a process is one of the project's."""
    if isinstance(result, Violation):
        raise Violation(f"{process.name}: {result}") from result
    if isinstance(result, BaseException) and not isinstance(result, AigenError):
        raise Crashed(f"{process.name} ended with {result!r}") from result
