# SPDX-License-Identifier: Apache-2.0
"""What follows from a commit (design §3): dead letters, tables, then the applied mark.

The effects are a pure function of the entry and the kept answers, so it does not matter which process writes them, how
often, or how late: a letter is written only where no newer entry took its document.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from airflow_provider_aigen.core.commits import is_of_run
from airflow_provider_aigen.core.errors import AigenError, ReconciliationError
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Plan
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.pipeline.history import commits_about
from airflow_provider_aigen.pipeline.parts import Parts, Rows
from airflow_provider_aigen.pipeline.timing import at_once
from airflow_provider_aigen.ports import DeadLetters, StateStore, Tables

__all__ = ["Effects", "Rows", "finish_commits"]

log = logging.getLogger(__name__)

# What an entry says of one document.
Said = tuple[CommitEntry, DocumentOutcome]
# By document id, the newest last.
Chains = Mapping[str, Sequence[Said]]

_DEAD_LETTERS_AT_ONCE = 8


class Effects:
    """Writes what a commit means."""

    def __init__(self, state: StateStore, tables: Tables, dead_letters: DeadLetters) -> None:
        self._state = state
        self._parts = Parts(state, tables)
        self._dead_letters = dead_letters

    async def apply(self, entry: CommitEntry, at_hand: Rows | None = None) -> None:
        """Write all of it. ``at_hand`` is there for a commit that was just made, and has the rows of the answers that
        were just read; the others are read again."""
        lettered = [outcome for outcome in entry.outcomes if outcome.has_dead_letter or outcome.retakes is not None]
        chains = await self._chains(entry, lettered)
        await self._write_newest(entry, chains)
        await self._parts.write(entry, at_hand or {}, is_new=at_hand is not None)
        await self._settle(entry, lettered, chains)
        await self._state.mark_applied(entry.number)
        await self._parts.remove_replaced(entry)  # once per process, and last, so that no row waits for it

    async def _settle(self, entry: CommitEntry, lettered: Sequence[DocumentOutcome], chains: Chains) -> None:
        """Leave the letters of the newest outcomes, and no others. A newer entry may come at any time: it may have
        looked for a letter in vain that was written here after that, or its own letter may have been removed here in
        place of an older one. So it is looked for until there is none."""
        while chains:
            await at_once(_DEAD_LETTERS_AT_ONCE, chains.values(), self._remove_older)
            again = await self._chains(entry, lettered)
            if all(again[document_id][-1] == chain[-1] for document_id, chain in chains.items()):
                return
            chains = again
            await self._write_newest(entry, chains)

    async def _chains(self, entry: CommitEntry, outcomes: Sequence[DocumentOutcome]) -> Chains:
        """For the document of each outcome: the letter that it retakes, the outcome, and what newer entries say."""
        chains: dict[str, list[Said]] = {}
        if not outcomes:
            return chains
        numbers = {outcome.retakes for outcome in outcomes if outcome.retakes is not None}
        retaken = {number: await self._state.read_commit(number) for number in sorted(numbers)}
        for outcome in outcomes:
            document_id = outcome.document.document_id
            before = retaken[outcome.retakes] if outcome.retakes is not None else None
            former = before.outcomes if before is not None else ()
            said = [(before, one) for one in former if before and one.document.document_id == document_id]
            chains[document_id] = [*said, (entry, outcome)]
        async for later in commits_about(self._state, chains.keys(), entry.number):
            for outcome in later.outcomes:
                if (chain := chains.get(outcome.document.document_id)) is not None:
                    chain.append((later, outcome))
        return chains

    async def _write_newest(self, entry: CommitEntry, chains: Chains) -> None:
        """Write the newest letters: those of this entry, and those that may have been removed in place of an older
        one."""
        newest = [chain[-1] for chain in chains.values() if chain[-1][0] == entry or _place(chain[-1]) in _older(chain)]
        wanted = [said for said in newest if said[1].has_dead_letter]
        await at_once(_DEAD_LETTERS_AT_ONCE, wanted, lambda said: self._dead_letters.write(*said))

    async def _remove_older(self, chain: Sequence[Said]) -> None:
        """Remove the letters of all but the newest."""
        *older, newest = chain
        for entry, outcome in older:
            there = newest[1].has_dead_letter and _place(newest) == _place((entry, outcome))
            if outcome.has_dead_letter and not there:
                await self._dead_letters.remove(entry, outcome, resolved_by=newest[0].number)


def _place(said: Said) -> tuple[str, str, str | None]:
    """Where its letter lies."""
    entry, outcome = said
    return entry.settings.dead_letter, entry.settings.dead_letter_suffix, outcome.error_code


def _older(chain: Sequence[Said]) -> list[tuple[str, str, str | None]]:
    """Where the letters of all but the newest lie."""
    return [_place(said) for said in chain[:-1] if said[1].has_dead_letter]


async def finish_commits(state: StateStore, effects: Effects, plan: Plan | None = None) -> None:
    """Write the effects of every commit that lacks its applied mark, whichever process made it (design §3). What cannot
    be written is a warning, and is tried again by the next run.

    With ``plan``, only those of its run, which are behind it; raises what cannot be written. The others were tried when
    it began."""
    for number in await state.unapplied_commits(plan.as_of if plan is not None else None):
        entry = await state.read_commit(number)
        if entry is None:
            raise ReconciliationError(f"commit {number} was listed, but is not there")
        if plan is not None and not is_of_run(entry, plan.run):
            continue
        log.info("Finishing commit %d of %s", number, counted(len(entry.outcomes), "document"))
        try:
            await effects.apply(entry)
        except AigenError as error:
            if plan is not None:
                raise
            log.warning("Commit %d could not be finished, the next run tries it again: %s", number, error)
