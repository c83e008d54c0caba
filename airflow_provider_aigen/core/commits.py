# SPDX-License-Identifier: Apache-2.0
"""Plan batch, outcomes and newer commits → commit entry (design §3, Commit)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, PlanBatch, RunIdentity

__all__ = ["is_of_run", "next_entry", "taken_ids"]


def taken_ids(entry: CommitEntry) -> list[str]:
    """The documents that no later commit may take. A document that was gone is not taken: the same bytes may be put
    back under the same key, and then have an outcome like any other."""
    return [outcome.document.document_id for outcome in entry.outcomes if outcome.outcome is not Outcome.GONE]


def is_of_run(entry: CommitEntry, run: RunIdentity) -> bool:
    """Whether a try of this run made the entry, whichever try it was."""
    return entry.run.run_key == run.run_key


def next_entry(
    number: int,
    writer_id: str,
    batch: PlanBatch,
    outcomes: Mapping[str, DocumentOutcome],
    taken: Callable[[str], bool],
) -> CommitEntry | None:
    """The entry that commits ``batch`` as ``number``, in plan order, without what other runs' newer commits took; None
    where they took all of it. ``outcomes`` maps a document id to its outcome; ids without one were taken before they
    were processed."""
    kept = tuple(
        outcomes[document.document_id]
        for document in batch.documents
        if document.document_id in outcomes and not taken(document.document_id)
    )
    if not kept:
        return None
    return CommitEntry(number, writer_id, batch.run, batch.number, batch.settings, kept)
