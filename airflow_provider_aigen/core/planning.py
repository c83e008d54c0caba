# SPDX-License-Identifier: Apache-2.0
"""Listing, ledger and passing dead letters → batches (design §3, Plan).

A plan may be made in several tries, by several processes at once: batches are create-only and numbered, so a process
that comes second reads what is there, leaves those documents out and goes on behind them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from heapq import merge
from itertools import islice

from airflow_provider_aigen.core.defaults import DEFAULT_RETRY_PASSING_AFTER_S
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.folding import Folding
from airflow_provider_aigen.core.letters import Letter
from airflow_provider_aigen.core.models import (
    OutputSettings,
    Plan,
    PlanBatch,
    Retake,
    RunIdentity,
    SourceObject,
)
from airflow_provider_aigen.core.no_documents import is_no_document

__all__ = [
    "BatchBuilder",
    "NewestFirst",
    "PlanRequest",
    "call_order",
    "parameters_digest",
]

_SORTED_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What to plan. ``matches`` says of a key whether the source takes it; ``max_documents`` None means all.
    ``retry_passing_after_s`` is how long a passing dead letter waits for its next round. ``fail_on_empty_source``: a
    source without a document is an error, not a warning. ``newest_first``: the documents stand by their age, not by
    their keys. ``manifest``: the URI of what is read instead of the listing. ``folding``: how the ledger is folded."""

    run: RunIdentity
    settings: OutputSettings
    bucket: str
    prefix: str
    matches: Callable[[str], bool]
    batch_size: int
    max_documents: int | None = None
    retry_passing_after_s: float = DEFAULT_RETRY_PASSING_AFTER_S
    fail_on_empty_source: bool = False
    newest_first: bool = False
    manifest: str | None = field(repr=False, default=None)
    folding: Folding = field(default_factory=Folding)


def parameters_digest(
    source: str,
    settings: OutputSettings,
    max_documents: int | None,
    *,
    manifest: str | None = None,
    newest_first: bool = False,
    record_schema: Mapping[str, str] | None = None,
) -> str:
    """32 hex digits over what decides which documents a plan has and what is written of them. ``record_schema`` is the
    one that was given, if one was."""
    written = asdict(settings)
    del written["record_schema"]
    identity = [source, max_documents, written]
    # Versions that did not have these three named the same plan without them.
    identity += [{"manifest": manifest}] if manifest else []
    identity += [{"newest_first": True}] if newest_first else []
    identity += [{"record_schema": list(record_schema.items())}] if record_schema is not None else []
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def call_order(document_id: str, writer_id: str) -> bytes:
    """A key that sorts the documents of a batch into an order of this process's own.

    What is bad together stands together in a listing, a folder of broken scans for example. Called one after the other
    such documents look like an outage, and each try would end at them, before it comes to what stands behind."""
    return hashlib.sha256(f"{writer_id} {document_id}".encode()).digest()


@dataclass(slots=True)
class BatchBuilder:
    """Offer it the listing, it gives complete batches. ``number`` and ``documents`` count what the plan has already,
    ``letters`` those of the documents that are dead letters which are tried again. Of the ``listed`` objects, ``found``
    are documents that the source takes, whether they are done or not."""

    request: PlanRequest
    as_of: int
    state_id: str | None = None
    number: int = 0
    documents: int = 0
    left_out: int = 0
    skipped: int = 0
    letters: int = 0
    listed: int = 0
    found: int = 0
    _open: list[SourceObject] = field(default_factory=list)
    _open_ids: set[str] = field(default_factory=set)
    _closed_ids: set[str] = field(default_factory=set)
    _due: list[Letter] = field(default_factory=list)
    _sizes: list[int] = field(default_factory=list)
    _retaken_batches: list[int] = field(default_factory=list)
    _retaken: set[str] = field(default_factory=set)

    def reserve(self, letters: Iterable[Letter]) -> None:
        """Keep places for these dead letters, which stand behind all that is new."""
        self._due = list(letters)
        self._retaken.update(letter.retake.document_id for letter in self._due)

    def full(self) -> bool:
        """Whether ``max_documents`` is reached: the rest of the listing need not be read."""
        return self.room() == 0

    def offer(self, listed: SourceObject, taken: Callable[[str], bool]) -> PlanBatch | None:
        """Take the object if the plan :meth:`wants` it; return the batch that it completes."""
        return self.add(listed) if self.wants(listed, taken) else None

    def wants(self, listed: SourceObject, taken: Callable[[str], bool]) -> bool:
        """Whether the object is a document of the plan: not if it is no document, outside the source, taken already or
        over ``max_documents``. Each object of the listing is asked for once."""
        self.listed += 1
        if self.full() or not self.request.matches(listed.key):
            return False
        if is_no_document(listed):
            self.skipped += 1
            return False
        self.found += 1
        if taken(listed.document_id):
            self.left_out += listed.document_id not in self._retaken
            return False
        return True

    def add(self, listed: SourceObject) -> PlanBatch | None:
        """Take a document; return the batch that it completes. One that comes again is taken once."""
        document_id = listed.document_id
        if document_id in self._open_ids or document_id in self._closed_ids:  # some stores list an object twice
            return None
        self._open.append(listed)
        self._open_ids.add(document_id)
        return self._close() if len(self._open) == self.request.batch_size else None

    def room(self) -> int | None:
        """How many more new documents the plan takes; None means all."""
        limit = self.request.max_documents
        return None if limit is None else max(0, limit - self.documents - len(self._open) - len(self._due))

    def empty_source(self) -> ConfigurationError | None:
        """What a source without a document means, if it is an error, once its listing was read; None where it has one,
        or where not all of it was read."""
        if self.found or self.full() or self.documents > self.letters:
            return None
        return ConfigurationError(
            "source",
            f"has no document: of {self.listed} objects under its prefix, or in its manifest, none is one that it "
            f"takes, and {self.skipped} are markers or left behind by systems. Check its bucket and folder, its "
            "capital letters, which count unless (?i) stands before them, and its brackets, which mean one of the "
            "characters in them",
        )

    def last(self) -> PlanBatch | None:
        """The incomplete batch at the end of the listing."""
        return self._close() if self._open else None

    def retakes(self) -> list[PlanBatch]:
        """The batches of the dead letters that places were kept for, behind all others."""
        due, self._due, batches = self._due, [], []
        for start in range(0, len(due), self.request.batch_size):
            some = due[start : start + self.request.batch_size]
            self._open = [letter.document for letter in some]
            batches.append(self._close(tuple(letter.retake for letter in some)))
        return batches

    def skip(self, batch: PlanBatch) -> None:
        """Go on behind a batch of an earlier try. Its new documents will be listed and left out without being done."""
        self._count(batch)
        self._retaken.update(retake.document_id for retake in batch.retakes)
        self.left_out -= len(batch.documents) - len(batch.retakes)
        self.as_of = min(self.as_of, batch.as_of)

    def plan(self) -> Plan:
        """The plan's last object; ``documents`` of batches that other tries made do not count as done already."""
        return Plan(
            run=self.request.run,
            batches=self.number,
            documents=self.documents,
            as_of=self.as_of,
            # Under 0 where documents that an earlier try planned are not listed any more.
            already_done=max(0, self.left_out),
            settings=self.request.settings,
            skipped=self.skipped,
            letters=self.letters,
            state_id=self.state_id,
            sizes=tuple(self._sizes),
            retaken=tuple(self._retaken_batches),
        )

    def _close(self, retakes: tuple[Retake, ...] = ()) -> PlanBatch:
        batch = PlanBatch(
            self.request.run,
            self.number,
            self.as_of,
            self.request.settings,
            tuple(self._open),
            retakes,
            self.state_id,
        )
        self._count(batch)
        self._open = []
        self._closed_ids, self._open_ids = self._open_ids, set()
        return batch

    def _count(self, batch: PlanBatch) -> None:
        self._sizes.append(len(batch.documents))
        if batch.retakes:
            self._retaken_batches.append(self.number)
        self.number += 1
        self.documents += len(batch.documents)
        self.letters += len(batch.retakes)


class NewestFirst:
    """Documents by their age, the newest first; those of one time by their keys. At most ``limit`` are given.

    They are sorted in parts, for the event loop stands still meanwhile."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._part: list[SourceObject] = []
        self._parts: list[list[SourceObject]] = []

    def add(self, listed: SourceObject) -> None:
        """Take one more."""
        self._part.append(listed)
        if len(self._part) >= _SORTED_AT_ONCE:
            self._sort()

    def in_order(self) -> Iterator[SourceObject]:
        """All of them, or the newest ``limit``."""
        self._sort()
        return islice(merge(*self._parts, key=_by_age), self._limit)

    def _sort(self) -> None:
        few = self._limit is not None and self._limit <= _SORTED_AT_ONCE
        if few and self._parts:
            self._part += self._parts.pop()
        self._parts.append(sorted(self._part, key=_by_age)[: self._limit])
        self._part = []


def _by_age(listed: SourceObject) -> tuple[float, str]:
    return -listed.last_modified.timestamp(), listed.key
