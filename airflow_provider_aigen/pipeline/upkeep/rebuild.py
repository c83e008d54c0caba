# SPDX-License-Identifier: Apache-2.0
"""The tables again, from commits and kept answers (design §3, Rebuild). It calls nothing.

What the rebuild changes is created first, as a numbered object. From then on every writer of these parts writes what
this one does, so rebuilds and runs may overlap, and a rebuild that was killed goes on where it stopped.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from airflow_provider_aigen.core.models import CommitEntry, Table
from airflow_provider_aigen.core.records.schema import RecordSchema, record_schema
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.core.upkeep.parts import MOST_DOCUMENTS, PartFacts, Rebuild, Unit, groups, unit_of
from airflow_provider_aigen.pipeline.effects import Effects, finish_commits
from airflow_provider_aigen.pipeline.history import newest_commit
from airflow_provider_aigen.pipeline.parts import Parts
from airflow_provider_aigen.pipeline.runs import write_row
from airflow_provider_aigen.pipeline.timing import at_once
from airflow_provider_aigen.ports import Ports, StateStore

__all__ = ["RebuildCounts", "RebuildRequest", "rebuild"]

log = logging.getLogger(__name__)

_AT_ONCE = 4
# So many commits are written before it is noted how far the rebuild is.
_NOTED_EVERY = 20


@dataclass(frozen=True, slots=True)
class RebuildRequest:
    """What to rebuild. ``since``: only commits of that time or later. ``compact``: small parts become one.
    ``record_schema`` as in :class:`~airflow_provider_aigen.core.upkeep.parts.Rebuild`."""

    run_key: str
    destination: str
    tables: tuple[Table, ...] = tuple(Table)
    runs: bool = True
    since: datetime | None = None
    min_confidence: float | None = None
    record_schema: RecordSchema | None = None
    compact: bool = True
    most_documents: int = MOST_DOCUMENTS


@dataclass(frozen=True, slots=True)
class RebuildCounts:
    """What was written: ``merged`` counts the commits whose rows lie in a part with those of others now, ``left`` the
    commits that could not be written, ``runs`` the rows of that table."""

    commits: int
    documents: int
    merged: int
    left: int
    runs: int


async def rebuild(request: RebuildRequest, ports: Ports) -> RebuildCounts:
    """Write the parts of all commits again. A later call with the same ``run_key`` goes on where this one stopped.

    Raises ``ConfigurationError`` for a destination without a state, or with another one."""
    await ports.state.identify(request.destination)
    await ports.state.probe()
    await ports.tables.probe()
    await finish_commits(ports.state, Effects(ports.state, ports.tables, ports.dead_letters))
    parts = Parts(ports.state, ports.tables)
    await parts.look()
    begun = await _begun(request, parts, ports.state)
    if begun is None:
        begun = await _begin(request, parts, ports)
    if begun is None:
        log.info("There is no commit to rebuild")
        return RebuildCounts(0, 0, 0, 0, 0)
    return await _Work(request, begun, parts, ports).run()


async def _begun(request: RebuildRequest, parts: Parts, state: StateStore) -> Rebuild | None:
    """The rebuild that an earlier try began and did not finish."""
    own = [one for one in parts.rebuilds if one.run_key == request.run_key]
    if not own or (done := await state.rebuilt(own[-1].number)) is None:
        return None
    log.info("Going on with rebuild %d behind commit %d", own[-1].number, max(done, own[-1].first - 1))
    return own[-1]


async def _begin(request: RebuildRequest, parts: Parts, ports: Ports) -> Rebuild | None:
    """Create the next rebuild. Where another one is created at the same time, this one is built on it."""
    state = ports.state
    last = await newest_commit(state)
    first = await _first_since(state, request.since, last)
    unapplied = set(await state.unapplied_commits())
    commits: list[tuple[CommitEntry, int]] = []
    async for entry in _entries(state, request.destination, first, last):
        if request.record_schema:
            record_schema(entry.settings.document_type, dict(request.record_schema), entry.settings.partition)
        if entry.number not in unapplied:
            commits.append((replace(entry, outcomes=()), len(entry.outcomes)))
    if not commits:
        return None
    compact = request.compact and set(request.tables) == set(Table)
    while True:
        draft = Rebuild(
            len(parts.rebuilds) + 1,
            request.run_key,
            first,
            last,
            request.tables,
            request.min_confidence,
            request.record_schema,
        )
        facts = [PartFacts.of(entry, documents, [*parts.rebuilds, draft]) for entry, documents in commits]
        merged = groups(facts, parts.rebuilds, request.most_documents) if compact else ()
        if merged:
            await ports.tables.prove_removal(commits[-1][0].settings)
        wanted = replace(draft, merged=merged)
        await state.create_rebuild(wanted)
        await parts.look()
        if wanted in parts.rebuilds:
            return wanted


class _Work:
    """One rebuild, from where an earlier try left it."""

    def __init__(self, request: RebuildRequest, rebuild: Rebuild, parts: Parts, ports: Ports) -> None:
        self._request = request
        self._rebuild = rebuild
        self._parts = parts
        self._ports = ports
        self._units: set[Unit] = set()
        self._run_keys: dict[str, None] = {}
        self._documents = self._commits = 0

    async def run(self) -> RebuildCounts:
        """Write everything, and note how far it is."""
        state, rebuild = self._ports.state, self._rebuild
        done = await state.rebuilt(rebuild.number) or 0
        unapplied = set(await state.unapplied_commits())
        some: list[CommitEntry] = []
        async for entry in _entries(state, self._request.destination, rebuild.first, rebuild.last):
            self._run_keys[entry.run.run_key] = None
            if entry.number <= done or entry.number in unapplied:
                continue
            some.append(entry)
            if len(some) == _NOTED_EVERY:
                await self._write(some)
                some = []
        await self._write(some)
        runs = await self._write_runs() if self._request.runs else 0
        await state.note_rebuilt(rebuild.number, None)
        left = len([number for number in unapplied if rebuild.first <= number <= rebuild.last])
        merged = sum(len(group) for group in rebuild.merged)
        log.info("Wrote the parts of %s again", counted(self._commits, "commit"))
        return RebuildCounts(self._commits, self._documents, merged, left, runs)

    async def _write(self, entries: Sequence[CommitEntry]) -> None:
        if not entries:
            return
        units = {unit_of(entry.number, self._parts.rebuilds): entry for entry in reversed(entries)}

        async def write(unit: Unit, entry: CommitEntry) -> None:
            if unit.rebuild:
                await self._parts.write_unit(unit)
            else:
                await self._parts.write_again(entry, self._rebuild.tables)

        left = [(unit, entry) for unit, entry in units.items() if unit not in self._units]
        await at_once(_AT_ONCE, left, lambda one: write(*one))
        self._units.update(units)
        self._commits += len(entries)
        self._documents += sum(len(entry.outcomes) for entry in entries)
        await self._ports.state.note_rebuilt(self._rebuild.number, entries[-1].number)

    async def _write_runs(self) -> int:
        state, runs = self._ports.state, 0
        for run_key in self._run_keys:
            plan = await state.read_plan(run_key)
            if plan is not None and plan.settings.destination == self._request.destination:
                await write_row(plan, state, self._ports.tables)
                runs += 1
        return runs


async def _entries(state: StateStore, destination: str, first: int, last: int) -> AsyncIterator[CommitEntry]:
    """The commits ``first`` to ``last`` that are of the destination."""
    async for entry in state.commits_after(first - 1):
        if entry.number > last:
            return
        if entry.settings.destination == destination:
            yield entry


async def _first_since(state: StateStore, since: datetime | None, last: int) -> int:
    """The first commit of that time or later. Times are the writers' own: a second more or less does not matter."""
    first = 1
    while since is not None and first <= last:
        middle = (first + last) // 2
        entry = await state.read_commit(middle)
        if entry is not None and entry.committed_at is not None and entry.committed_at >= since:
            last = middle - 1
        else:
            first = middle + 1
    return first
