# SPDX-License-Identifier: Apache-2.0
"""Plan batch, outcomes and newer commits → commit entry: who may take a document (design §3, Commit)."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from airflow_provider_aigen.core.models import (
    NO_ROWS,
    CommitEntry,
    DocumentOutcome,
    FieldRows,
    Outcome,
    PlanBatch,
    Retake,
    RunIdentity,
    SourceObject,
)
from airflow_provider_aigen.core.quality import EntryStatistics, entry_statistics

__all__ = ["Ids", "Taken", "is_of_run", "next_entry", "statistics_of", "taken_ids"]

# Some of them may be deleted meanwhile.
_READ_BEFORE = 5


class Ids(Protocol):
    """A set of document ids, perhaps on disk."""

    def add(self, document_ids: list[str], /) -> None: ...

    def __contains__(self, document_id: str, /) -> bool: ...


def taken_ids(entry: CommitEntry) -> list[str]:
    """The documents that no later run takes as new ones. A document that was gone is not taken: the same bytes may be
    put back under the same key, and then have an outcome like any other."""
    return [outcome.document.document_id for outcome in entry.outcomes if outcome.outcome is not Outcome.GONE]


def is_of_run(entry: CommitEntry, run: RunIdentity) -> bool:
    """Whether a try of this run made the entry, whichever try it was."""
    return entry.run.run_key == run.run_key


@dataclass(slots=True)
class Taken:
    """Which documents the commits behind a plan have taken. ``own`` has all that entries of ``run`` took, ``others``
    what other runs took, except what was gone. ``without_rows`` maps a document to the newest commit of another run, if
    that one gave it no rows. ``read_before`` has the last few objects that were read from the source."""

    run: RunIdentity
    own: Ids
    others: Ids
    without_rows: dict[str, int] = field(default_factory=dict)
    read_before: deque[SourceObject] = field(default_factory=lambda: deque(maxlen=_READ_BEFORE))

    def see(self, entry: CommitEntry) -> None:
        """Learn of the next commit."""
        self.read_before.extend(one.document for one in entry.outcomes if one.content_sha256 is not None)
        if is_of_run(entry, self.run):
            self.own.add([outcome.document.document_id for outcome in entry.outcomes])
            return
        self.others.add(taken_ids(entry))
        for outcome in entry.outcomes:
            document_id = outcome.document.document_id
            if outcome.has_rows or outcome.outcome is Outcome.ERASED:
                self.without_rows.pop(document_id, None)
            else:
                self.without_rows[document_id] = entry.number

    def is_done(self, document_id: str, retake: Retake | None = None) -> bool:
        """Whether the document needs no outcome from this run any more. A ``retake`` needs none once an entry that is
        newer than the one it names took the document, whatever came of it. The plan may be older than both, where it
        was made in several tries."""
        if document_id in self.own:
            return True
        if retake is None:
            return document_id in self.others
        newest = self.without_rows.get(document_id)
        return newest != retake.commit and (newest is not None or document_id in self.others)

    def admit(self, outcome: DocumentOutcome) -> DocumentOutcome | None:
        """The outcome as an entry may hold it now, or None: within a run every outcome takes its document; rows may
        take any document that has none; a failed retake only one whose newest entry is the one that it retakes."""
        document_id = outcome.document.document_id
        if document_id in self.own:
            return None
        newest = self.without_rows.get(document_id)
        if outcome.has_rows:
            if document_id not in self.others:
                return outcome
            return None if newest is None else replace(outcome, retakes=newest)
        if outcome.retakes is None:
            return None if document_id in self.others else outcome
        is_seen = document_id in self.others or newest is not None
        return None if is_seen and newest != outcome.retakes else outcome


def next_entry(
    number: int,
    writer_id: str,
    batch: PlanBatch,
    outcomes: Mapping[str, DocumentOutcome],
    taken: Taken,
    committed_at: datetime,
) -> CommitEntry | None:
    """The entry that commits what ``outcomes`` (by document id) has of ``batch``, as ``number``, in plan order, without
    what is taken already; None where nothing is left. Its statistics are :func:`statistics_of`'s."""
    found = (outcomes.get(document.document_id) for document in batch.documents)
    admitted = (taken.admit(outcome) for outcome in found if outcome is not None)
    kept = tuple(outcome for outcome in admitted if outcome is not None)
    if not kept:
        return None
    return CommitEntry(
        number,
        writer_id,
        batch.run,
        batch.number,
        batch.settings,
        kept,
        batch.state_id,
        committed_at,
    )


def statistics_of(entry: CommitEntry, rows: Mapping[str, FieldRows]) -> EntryStatistics:
    """What the rows of the entry's documents say of each field. ``rows`` has those of the answers, by their names
    (``DocumentOutcome.answer_key``)."""
    documents = (outcome for outcome in entry.outcomes if outcome.has_rows)
    return entry_statistics(one.rows_of(rows.get(one.answer_key or "", NO_ROWS)) for one in documents)
