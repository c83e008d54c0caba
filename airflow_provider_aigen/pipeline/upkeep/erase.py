# SPDX-License-Identifier: Apache-2.0
"""Erase documents for good (design §3, Erasure). Each step may be done again; what finds the rest is erased last."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from airflow_provider_aigen.core.answers import WRITER_LIVES
from airflow_provider_aigen.core.errors import ConfigurationError, StorageUnavailableError
from airflow_provider_aigen.core.models import CommitEntry, Table
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.core.upkeep.erasure import EraseRequest, Named, erasing_entry
from airflow_provider_aigen.core.upkeep.parts import older_units, unit_of
from airflow_provider_aigen.pipeline.effects import Effects, finish_commits
from airflow_provider_aigen.pipeline.parts import Parts
from airflow_provider_aigen.ports import Ports, Versions

__all__ = ["Receipt", "erase"]

log = logging.getLogger(__name__)

_LOOK_S = 10.0
_WAIT_S = 900.0


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was erased, and when. ``shared`` answers stay, because other documents have the same bytes."""

    documents: int
    commits: int
    plans: int
    answers: int
    shared: int
    dead_letters: int
    sources: int
    erased_at: datetime


async def erase(request: EraseRequest, ports: Ports, versions: Versions) -> Receipt:
    """Erase the documents. A later call goes on where this one stopped.

    Raises ``ConfigurationError`` for a URI or an id that no commit names, and then nothing was changed; and
    ``StorageUnavailableError`` while runs that began before are still at work."""
    state_id = await ports.state.identify(request.destination)
    named = await _read(request, ports)
    if named.missing and not named.erased:
        raise ConfigurationError(
            "source_uris" if request.source_uris else "document_ids",
            f"{named.missing} of {len(request.source_uris) + len(request.document_ids)} are named by no commit of this "
            "destination: they were never taken, or are erased already. Nothing was changed",
        )
    effects = Effects(ports.state, ports.tables, ports.dead_letters)
    await finish_commits(ports.state, effects)
    while (entry := erasing_entry(named, ports.writer_id, state_id, ports.clock.now())) is not None:
        await ports.state.create_commit(entry)
        named = await _read(request, ports)
    await _wait_for_writers(ports)
    await finish_commits(ports.state, effects)  # takes the letters of these documents away
    counts = await _erase(named, ports, versions)
    if not counts["touched"]:
        log.info("Nothing is left of %s", counted(len(named.documents), "document"))
    documents = len(named.documents) if counts["touched"] else 0
    return Receipt(
        documents,
        counts["commits"],
        counts["plans"],
        counts["answers"],
        len(named.contents) - len(named.private_contents),
        counts["dead_letters"],
        counts["sources"],
        ports.clock.now(),
    )


async def _read(request: EraseRequest, ports: Ports) -> Named:
    """What the commits say of the documents; also of those that an earlier try of this task found by their URIs."""
    named = Named(request)
    async for entry in ports.state.commits_after(0):
        named.see(entry)
    if not named.erased:
        return named
    again = Named(replace(request, document_ids=tuple(named.documents)))
    async for entry in ports.state.commits_after(0):
        again.see(entry)
    return again


async def _wait_for_writers(ports: Ports) -> None:
    """Wait until no process lives that was alive before the erasing entry: it may have read the documents before."""
    state, clock = ports.state, ports.clock
    until = clock.monotonic() + _WAIT_S
    waiting: Collection[str] | None = None
    while True:
        await state.beat(ports.writer_id)
        beats = dict(await state.beats())
        now = beats.pop(ports.writer_id)
        alive = {one for one, at in beats.items() if now - at <= WRITER_LIVES}
        waiting = alive if waiting is None else alive.intersection(waiting)
        if not waiting:
            return
        if clock.monotonic() >= until:
            raise StorageUnavailableError(
                f"{counted(len(waiting), 'process', 'processes')} that began before the erasure are still at work on "
                "this destination: a later try goes on"
            )
        await clock.sleep(_LOOK_S)


async def _erase(named: Named, ports: Ports, versions: Versions) -> Counter[str]:
    state, ids = ports.state, {*named.documents}
    counts = await _erase_letters(named, ports, versions)
    if named.request.delete_source:
        for document in named.documents.values():
            if not document.is_erased:
                counts["sources"] += await versions.purge(document.bucket, document.key, etag=document.etag)
    for document_type, content_sha256 in named.private_contents:
        (bucket, answers), (_, claims) = state.content_places(document_type, content_sha256)
        counts["answers"] += bool(await versions.purge_all(bucket, answers))
        await versions.purge_all(bucket, claims)
    counts["plans"] = await state.erase_in_plans(ids)
    for entry in named.entries:  # all of them first: one part may have the rows of several
        await state.erase_in_commit(entry.number, ids)
    for entry in named.entries:
        await _write_parts(entry, ports, versions)
        counts["commits"] += 1
    for place in state.rewritten_places():
        await versions.purge_replaced(*place)
    return counts


async def _erase_letters(named: Named, ports: Ports, versions: Versions) -> Counter[str]:
    counts: Counter[str] = Counter()
    letters: dict[str, bool] = {}
    for entry in named.entries:
        for outcome in entry.outcomes:
            if outcome.document.document_id not in named.documents or outcome.document.is_erased:
                continue
            counts["touched"] += 1
            letters[outcome.document.document_id] = outcome.has_dead_letter
            for place in ports.dead_letters.places(entry, outcome) if outcome.has_dead_letter else ():
                await versions.purge(*place)
    counts["dead_letters"] = sum(letters.values())
    return counts


async def _write_parts(entry: CommitEntry, ports: Ports, versions: Versions) -> None:
    """Write the parts of a scrubbed commit, and delete what they were before."""
    parts = Parts(ports.state, ports.tables)
    await parts.look()
    unit = unit_of(entry.number, parts.rebuilds)
    if unit.rebuild:
        unit = await parts.write_unit(unit)
    entries = [await parts.read_commit(number) for number in unit.numbers]
    if not unit.rebuild:
        await parts.write(entries[0], {})
    left = [outcome for one in entries for outcome in one.outcomes if not outcome.document.is_erased]
    for table in Table:
        has_part = any(table is Table.DOCUMENTS or outcome.adds_rows for outcome in left)
        await versions.purge(*ports.tables.place(table, unit, entries[-1]), keep_newest=has_part)
        for older in older_units(unit, parts.rebuilds):  # a rebuild has deleted them, but not what they were
            last = next(one for one in entries if one.number == older.numbers[-1])
            await versions.purge(*ports.tables.place(table, older, last))
