# SPDX-License-Identifier: Apache-2.0
"""How a destination stands, and what its runs spent (design §3, Command line). Nothing here writes or calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

from airflow_provider_aigen.core.answers import WRITER_LIVES
from airflow_provider_aigen.core.models import CommitEntry, Plan
from airflow_provider_aigen.core.runs import RunSummary
from airflow_provider_aigen.core.upkeep.overview import RunFacts, Waiting, newest_of_each
from airflow_provider_aigen.pipeline.history import read_letters
from airflow_provider_aigen.ports import Ports, StateStore, StoredSpend

__all__ = ["Standing", "all_runs", "standing"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a destination stands. ``letters`` are its dead letters by code, those that may pass included. ``unapplied``
    are commits whose effects are not known to be complete: the next run sees to them. ``processes`` are at work on the
    destination. ``runs`` are the last ones, the newest first."""

    state_id: str | None
    newest: CommitEntry | None
    unapplied: int
    processes: int
    letters: Mapping[str, int]
    waiting: Waiting
    runs: list[RunFacts]

    @property
    def committed_at(self) -> datetime | None:
        return None if self.newest is None else self.newest.committed_at


async def standing(destination: str, ports: Ports, *, last_runs: int, retry_passing_after_s: float) -> Standing:
    """How the destination stands now. Raises ``ConfigurationError`` where it has another state, or none."""
    state, now = ports.state, ports.clock.now()
    state_id = await state.identify(destination)
    passing, number = await read_letters(state)
    newest = await state.read_commit(number) if number else None
    beats = (await state.beats()).values()
    return Standing(
        state_id=state_id,
        newest=newest,
        unapplied=len(await state.unapplied_commits()),
        processes=sum(now - beaten_at <= WRITER_LIVES for beaten_at in beats),
        letters={} if newest is None else await ports.dead_letters.counts(newest.settings),
        waiting=Waiting.of(passing, retry_passing_after_s, now),
        runs=await _last_runs(destination, ports, last_runs),
    )


async def all_runs(destination: str, ports: Ports, since: date | None) -> list[RunFacts]:
    """All runs that were planned on ``since`` or later, with what each has spent until now. The numbers of documents
    are those of the table ``runs``, which a run has when a try of it has ended."""
    await ports.state.identify(destination)
    unwritten = [
        RunFacts.of_spend(stored.records, at_work=not stored.ended)
        for folder, stored in await _unwritten(ports)
        if stored.records and (since is None or _day(folder) >= since.isoformat())
    ]
    return newest_of_each(await ports.tables.runs(destination, since=since), unwritten)


async def _last_runs(destination: str, ports: Ports, most: int) -> list[RunFacts]:
    if most <= 0:
        return []
    unwritten = []
    for folder, stored in await _unwritten(ports, most):
        plan = await ports.state.read_plan(folder.rpartition("/")[2])
        if plan is not None and stored.records:
            unwritten.append(await _facts(plan, stored, ports.state))
    return newest_of_each(await ports.tables.runs(destination, most=most), unwritten)[:most]


async def _facts(plan: Plan, stored: StoredSpend, state: StateStore) -> RunFacts:
    """The row that the run would have now."""
    summary = RunSummary(plan)
    async for entry in state.commits_after(plan.as_of):
        if entry.run.run_key == plan.run.run_key:
            summary.see(entry)
    return RunFacts.of_row(summary.row(stored.records), at_work=not stored.ended)


async def _unwritten(ports: Ports, most: int = 0) -> list[tuple[str, StoredSpend]]:
    """The runs that spent what their row does not say yet: the last ``most`` of them, 0 for all."""
    left = await ports.state.runs_to_write(ports.clock.now().date())
    return [(folder, await ports.state.read_spend(folder, left.now)) for folder in left.folders[-most:]]


def _day(folder: str) -> str:
    """On which the run was planned. One of version 0.1 has none there, and counts for every day."""
    day = folder.partition("/")[0]
    return day if day[:1].isdigit() else "9999-12-31"
