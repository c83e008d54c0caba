# SPDX-License-Identifier: Apache-2.0
"""The plan of a redrive: dead letters that are tried again (design §3, Retake). The run that follows is one like any
other."""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime

from airflow_provider_aigen.core.models import CommitEntry, OutputSettings, Plan, PlanBatch
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.core.upkeep.redrive import (
    FoundLetter,
    RedriveRequest,
    RedriveScope,
    as_named,
    batches,
    check_codes,
    chosen,
    found_letter,
    named,
)
from airflow_provider_aigen.pipeline.announce import begin_announcing
from airflow_provider_aigen.pipeline.effects import Effects, finish_commits
from airflow_provider_aigen.pipeline.history import commits_about, newest_commit
from airflow_provider_aigen.ports import Ports, StateStore

__all__ = ["dead_letters", "redrive_plan", "redrive_scope"]

log = logging.getLogger(__name__)


async def redrive_scope(request: RedriveRequest, ports: Ports) -> RedriveScope:
    """What a redrive would try again now. It writes nothing and calls nothing. Raises ``ConfigurationError``."""
    state_id = await ports.state.identify(request.destination)
    as_of = await newest_commit(ports.state)
    return RedriveScope.of(await _letters(request, ports, state_id, as_of, ports.clock.now()))


async def dead_letters(request: RedriveRequest, ports: Ports) -> list[FoundLetter]:
    """The dead letters that the request names, of any document type, the oldest first. It writes nothing and calls
    nothing. Raises ``ConfigurationError``."""
    state_id = await ports.state.identify(request.destination)
    found = await _found(request, ports, state_id, await newest_commit(ports.state))
    return named(found, request, ports.clock.now())


async def redrive_plan(request: RedriveRequest, ports: Ports) -> Plan:
    """The plan of the redrive: the one that is there, as it is, else a new one. Raises ``ConfigurationError``, and then
    no letter was touched."""
    state = ports.state
    state_id = await state.identify(request.destination)
    if (plan := await state.read_plan(request.run.run_key)) is not None:
        log.info("Using the plan of an earlier try: %s", counted(plan.documents, "dead letter"))
        return plan
    await _letters(request, ports, state_id, await newest_commit(state), ports.clock.now())  # refuse before writing
    await state.probe()
    await ports.tables.probe()
    await ports.dead_letters.probe()
    await finish_commits(state, Effects(state, ports.tables, ports.dead_letters))
    while (made := await _batches(request, ports, state_id)) is None:
        log.info("Another process plans this redrive too: going on behind its batches")
    sizes = tuple(len(batch.documents) for batch in made)
    settings = made[0].settings if made else _no_settings(request)
    plan = await state.create_plan(
        Plan(
            request.run,
            len(made),
            sum(sizes),
            min((batch.as_of for batch in made), default=await newest_commit(state)),
            0,
            settings,
            letters=sum(sizes),
            state_id=state_id,
            sizes=sizes,
            retaken=tuple(range(len(made))),
            planned_at=ports.clock.now(),
        )
    )
    log.info("Planned to try %s again", counted(plan.documents, "dead letter"))
    await begin_announcing(state, plan, state_id or "")
    return plan


async def _batches(request: RedriveRequest, ports: Ports, state_id: str | None) -> list[PlanBatch] | None:
    """Those of an earlier try, and those of the letters that are in none of them; None where another process wrote one
    meanwhile."""
    state = ports.state
    there: list[PlanBatch] = []
    while (batch := await state.read_batch(request.run.run_key, len(there))) is not None:
        there.append(batch)
    planned = {document.document_id for batch in there for document in batch.documents}
    as_of = await newest_commit(state)
    letters = await _letters(request, ports, state_id, as_of, ports.clock.now(), known=bool(there))
    new = [letter for letter in letters if letter.outcome.document.document_id not in planned]
    if request.max_documents is not None:
        new = new[: max(0, request.max_documents - len(planned))]
    made = batches(new, request, len(there), as_of, state_id)
    for batch in made:
        if not await state.create_batch(batch):
            return None
    return there + made


async def _letters(
    request: RedriveRequest, ports: Ports, state_id: str | None, as_of: int, now: datetime, *, known: bool = False
) -> list[FoundLetter]:
    """Those that the request names. Raises ``ConfigurationError`` where one of them is of another document type."""
    return chosen(await _found(request, ports, state_id, as_of, known=known), request, now)


async def _found(
    request: RedriveRequest, ports: Ports, state_id: str | None, as_of: int, *, known: bool = False
) -> Collection[FoundLetter]:
    """The letters with the request's codes, each with what commits up to ``as_of`` say of it. ``known``: an earlier try
    found letters with these codes, so they need not be there any more."""
    codes = await ports.dead_letters.codes()
    if not known:
        check_codes(request.error_codes, codes)
    wanted = codes
    if request.error_codes is not None:
        wanted = codes & as_named(request.error_codes)
    entries: dict[int, CommitEntry | None] = {}
    found: dict[str, FoundLetter] = {}
    for code in sorted(wanted):
        async for record in ports.dead_letters.records(code):
            if record.state_id not in (None, state_id):
                continue  # another destination's, under the same prefix
            if record.commit not in entries:
                entries[record.commit] = await ports.state.read_commit(record.commit)
            letter = found_letter(record, entries[record.commit])
            found[letter.outcome.document.document_id] = letter
    return await _newest(found, ports.state, as_of)


async def _newest(found: dict[str, FoundLetter], state: StateStore, as_of: int) -> Collection[FoundLetter]:
    """The letters as their newest commits have them: some are read or retaken already, and their records late."""
    if not found:
        return ()
    first = min(letter.entry.number for letter in found.values())
    async for entry in commits_about(state, found.keys(), first):
        if entry.number > as_of:
            break
        for outcome in entry.outcomes:
            known = found.get(outcome.document.document_id)
            if known is not None and entry.number > known.entry.number:
                found[outcome.document.document_id] = FoundLetter(entry, outcome, known.image)
    return [letter for letter in found.values() if letter.outcome.has_dead_letter]


def _no_settings(request: RedriveRequest) -> OutputSettings:
    return OutputSettings(request.document_type, request.destination, request.dead_letter, "")
