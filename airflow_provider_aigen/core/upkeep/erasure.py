# SPDX-License-Identifier: Apache-2.0
"""Commits and the documents that are to be erased → what names them, and what stays (design §3, Erasure)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from airflow_provider_aigen.core.models import (
    CommitEntry,
    DocumentOutcome,
    Outcome,
    Plan,
    PlanBatch,
    RunIdentity,
    SourceObject,
)

__all__ = ["EraseRequest", "Named", "erasing_entry", "scrubbed", "with_size", "without"]


@dataclass(frozen=True, slots=True)
class EraseRequest:
    """Which documents to erase: by their ids, or all that were read under these URIs."""

    run: RunIdentity
    destination: str
    dead_letter: str
    source_uris: tuple[str, ...] = field(repr=False, default=())
    document_ids: tuple[str, ...] = ()
    delete_source: bool = False


@dataclass(slots=True)
class Named:
    """Fed with all commits, in order: which of them name the documents. ``contents`` has the bytes of the documents
    with their type, ``shared`` those that another document has too. ``newest`` is the newest entry of each, ``erased``
    the documents that an entry has erased already."""

    request: EraseRequest
    entries: list[CommitEntry] = field(default_factory=list)
    documents: dict[str, SourceObject] = field(default_factory=dict)
    contents: set[tuple[str, str]] = field(default_factory=set)
    others: set[tuple[str, str]] = field(default_factory=set)
    newest: dict[str, CommitEntry] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)
    found_uris: set[str] = field(default_factory=set)
    last: int = 0

    def see(self, entry: CommitEntry) -> None:
        """Learn of the next commit."""
        self.last = entry.number
        is_own = entry.run.run_key == self.request.run.run_key
        named = False
        for outcome in entry.outcomes:
            document = outcome.document
            content = (entry.settings.document_type, outcome.content_sha256 or "")
            wanted = document.document_id in self.request.document_ids or document.document_id in self.documents
            if not document.is_erased and document.uri in self.request.source_uris:
                wanted = True
                self.found_uris.add(document.uri)
            if outcome.outcome is Outcome.ERASED and (is_own or wanted):
                self.erased.add(document.document_id)
                wanted = True
            if not wanted:
                self.others.add(content)
                continue
            named = True
            if document.document_id not in self.documents or not document.is_erased:
                self.documents[document.document_id] = document
            self.newest[document.document_id] = entry
            if outcome.content_sha256 is not None:
                self.contents.add(content)
        if named:
            self.entries.append(entry)

    @property
    def missing(self) -> int:
        """How many of the wanted documents or URIs no commit names."""
        unknown = [one for one in self.request.document_ids if one not in self.documents]
        return len(unknown) + len({*self.request.source_uris} - self.found_uris)

    @property
    def private_contents(self) -> list[tuple[str, str]]:
        """The bytes that no other document has."""
        return sorted(self.contents - self.others)


def erasing_entry(named: Named, writer_id: str, state_id: str | None, now: datetime) -> CommitEntry | None:
    """The entry that takes the documents for good; None where all of them are erased. It retakes their letters."""
    left = [document_id for document_id in named.documents if document_id not in named.erased]
    if not left:
        return None
    outcomes = tuple(
        DocumentOutcome(SourceObject.erased(document_id), Outcome.ERASED, retakes=named.newest[document_id].number)
        for document_id in sorted(left)
    )
    settings = max((named.newest[document_id] for document_id in left), key=lambda entry: entry.number).settings
    return CommitEntry(named.last + 1, writer_id, named.request.run, 0, settings, outcomes, state_id, now)


def scrubbed(entry: CommitEntry, document_ids: Collection[str]) -> CommitEntry:
    """The commit without anything about these documents but their ids and what came of them."""
    return replace(entry, outcomes=tuple(_scrubbed(one, document_ids) for one in entry.outcomes))


def without(batch: PlanBatch, document_ids: Collection[str]) -> PlanBatch:
    """The batch of a plan without these documents."""
    return replace(
        batch,
        documents=tuple(one for one in batch.documents if one.document_id not in document_ids),
        retakes=tuple(one for one in batch.retakes if one.document_id not in document_ids),
    )


def with_size(plan: Plan, batch: PlanBatch, documents: int) -> Plan:
    """The plan, in which this batch has so many documents."""
    if len(plan.sizes) != plan.batches:  # of version 0.1
        return replace(plan, documents=plan.documents - len(batch.documents) + documents)
    sizes = tuple(documents if number == batch.number else size for number, size in enumerate(plan.sizes))
    return replace(plan, documents=sum(sizes), sizes=sizes)


def _scrubbed(outcome: DocumentOutcome, document_ids: Collection[str]) -> DocumentOutcome:
    if outcome.document.document_id not in document_ids:
        return outcome
    return replace(
        outcome,
        document=SourceObject.erased(outcome.document.document_id),
        content_sha256=None,
        source_version_id=None,
        latency_s=None,
        extracted_at=None,
    )
