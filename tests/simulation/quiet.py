# SPDX-License-Identifier: Apache-2.0
"""The quiet end of a schedule: nothing goes wrong any more, so a few runs put all in order, and nothing changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.core.errors import ObjectDenied, PermanentError, ServiceUnavailableError
from airflow_provider_aigen.core.folding import cover
from airflow_provider_aigen.core.models import RunReport
from tests.kit.laws import violations
from tests.kit.snapshot import Snapshot
from tests.simulation.endpoint import POISON
from tests.simulation.progress import delays
from tests.simulation.scenario import Run
from tests.simulation.violation import Violation, check
from tests.simulation.world import DESTINATION, RETRY_PASSING_S, ROUNDS, identity

if TYPE_CHECKING:
    from tests.simulation.driver import Airflow

__all__ = ["Quiet"]

_FRESH = 2  # for each content that always fails, which two documents may have
_ALONE_TRIES = 6
_ALONE_S = 5 * 3600.0


class Quiet:
    """What people and Airflow do once all is well."""

    def __init__(self, airflow: Airflow) -> None:
        self.airflow = airflow
        self.world = airflow.world
        self.journal = airflow.journal

    async def end(self) -> Snapshot:
        """Raises ``Violation`` for any law that does not hold."""
        self._calm()
        if self.world.scenario.alone:
            await self._alone()
        last = await self._last_runs()
        if self.world.scenario.clear:
            await self._clear(last)
        if self.world.scenario.rewrite:
            await self._rewrite()
        result = await self._plan(Run("a", "empty"))
        check(not result.documents, f"{result.documents} documents are left after the last run")
        end = self.world.snapshot()
        self._folded(end)
        for sentence in (*violations(end, self.journal), *delays(self.journal, end)):
            raise Violation(sentence)
        return end

    def _calm(self) -> None:
        world, scenario = self.world, self.world.scenario
        for key in [*world.damaged]:
            world.mend(key, delete="/answers/" not in key)
        scenario.faults.until = 0.0
        scenario.faults.crash_at = {}
        world.network.calm = True
        world.calm_at = world.loop.now
        world.points_of_runs = world.network.points
        world.endpoint.troubles = []
        world.denials[:] = [one for one in world.denials if one.key != "incoming/" and one.end > 1e9]

    async def _alone(self) -> None:
        """Nothing is answered beside the documents that fail: they are routed all the same, after a day and six
        tries."""
        run, result = Run("a", "alone"), None
        for number in range(_ALONE_TRIES):
            result = await self.airflow.watch(self.world.start(run))
            if isinstance(result, RunReport):
                self.airflow.reported(run, result)
                return
            fails = isinstance(result, ServiceUnavailableError | PermanentError)
            check(fails, f"a try with nothing but documents that fail ends with {result!r}")
            await self.world.clock.sleep(_ALONE_S if number < _ALONE_TRIES - 1 else 0.0)
        raise Violation(f"documents that fail alone are not routed after {_ALONE_TRIES} tries: {result!r}")

    async def _last_runs(self) -> list[Run]:
        """As many runs as it takes until nothing is tried again any more: each has something new to be read, begins
        when letters are due, and succeeds."""
        runs: list[Run] = []
        poison = sum(kind in POISON for kind in self.world.kinds.values())
        poison += any(one.verb == "get" for one in self.world.denials)
        while True:
            for number in range(min(poison, 1) if runs else poison * _FRESH):
                self.world.change(f"fresh-{len(runs)}-{number}.png", ("success", 1000 + 10 * len(runs) + number))
            runs.append(Run("a", f"last-{len(runs)}"))
            reached = {call.sha256 for call in self.world.endpoint.calls if call.perhaps_paid}
            self.airflow.reported(runs[-1], await self._once(runs[-1]))
            passing = [outcome for _, outcome in self.world.snapshot().newest.values() if outcome.passing]
            for outcome in passing if len(runs) > 1 else ():
                # What fails at its first call only has its chance later, where none reached the service so far: a
                # damaged claim was in the way, or an outage.
                had_its_chance = self.world.sha256[outcome.document.etag] in reached
                healthy = had_its_chance and self.journal.is_healthy(outcome)
                check(not healthy, f"{outcome.document.document_id} is a letter after a run that began when it was due")
            if not passing:
                return runs
            ids = [outcome.document.document_id for outcome in passing]
            check(len(runs) <= ROUNDS, f"{ids} are still tried again after {len(runs)} runs")
            await self.world.clock.sleep(2 * RETRY_PASSING_S + 1)

    def _folded(self, end: Snapshot) -> None:
        """A plan leaves no more commits behind the ledger than make the next segment, and few segments."""
        folding, covered = self.world.scenario.folding, cover(end.spans)
        behind = len(end.commits) - (covered[-1].last if covered else 0)
        check(behind < folding.commits, f"{behind} commits are not folded after a plan")
        levels = len(str(len(end.commits))) * 4
        check(len(covered) < levels * folding.factor, f"{len(covered)} segments are read of {len(end.commits)} commits")

    async def _clear(self, last: list[Run]) -> None:
        """Failed runs are cleared, and find their documents done, or do them; then all are cleared, and do nothing."""
        runs = [run.at(99) for run in self.world.scenario.runs]
        for run in list(runs):
            if identity(run).run_key in self.airflow.reports:
                continue
            result = await self.airflow.watch(self.world.start(run))
            if isinstance(result, ObjectDenied):  # all that is left of it: nobody can tell it from a denied bucket
                runs.remove(run)
                continue
            self.airflow.reported(run, _report(run, result))
        before, calls = self._visible(), len(self.world.endpoint.calls)
        for run in [*runs, *last]:
            self.airflow.reported(run, await self._once(run))
        made = len(self.world.endpoint.calls) - calls
        check(not made, f"cleared runs made {made} calls")
        check(before == self._visible(), "cleared runs changed what is visible")

    async def _rewrite(self) -> None:
        """The tables are a pure function of the state: without them and the applied marks they come out the same."""
        world, before = self.world, self._visible()
        world.bucket.watch = lambda *_: None
        for key in [*world.bucket.under(DESTINATION)]:
            if key.endswith((".parquet", ".applied", ".row", "/ledger/applied.json")):
                world.bucket.remove(key)
        await self._plan(Run("a", "rewrite"))
        check(before == self._visible(), "the tables come out differently when they are written again")

    async def _once(self, run: Run) -> RunReport:
        return _report(run, await self.airflow.watch(self.world.start(run)))

    async def _plan(self, run: Run) -> Any:
        process = self.world.start(run, plan_only=True)
        result = await process.ended
        if isinstance(result, BaseException):
            raise Violation(f"{process.name} fails without a fault: {result!r}") from _cause(result)
        return result

    def _visible(self) -> dict[str, bytes]:
        """The bytes of what an engine or a person reads. Images are left out: one whose source was gone when its record
        was written may be copied later, if the source came back."""
        snapshot = self.world.snapshot()
        return {uri: snapshot.objects[uri] for uri in (*snapshot.parts, *snapshot.run_rows, *snapshot.records)}


def _cause(result: Any) -> BaseException | None:
    return result if isinstance(result, BaseException) else None


def _report(run: Run, result: Any) -> RunReport:
    if not isinstance(result, RunReport):
        raise Violation(f"run {run.run_id} fails without a fault: {result!r}") from _cause(result)
    return result
