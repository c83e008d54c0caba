# SPDX-License-Identifier: Apache-2.0
"""Listing, ledger and passing dead letters → batches (design §3, Plan).

A plan may be made in several tries, by several processes at once: batches are create-only and numbered, so a process
that comes second reads what is there, leaves those documents out and goes on behind them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from airflow_provider_aigen.core.defaults import DEFAULT_RETRY_PASSING_AFTER_S
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.folding import FoldedLetter, Folding, Segment
from airflow_provider_aigen.core.models import (
    CommitEntry,
    Outcome,
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
    "Letter",
    "PassingLetters",
    "PlanRequest",
    "call_order",
    "parameters_digest",
    "places_for_letters",
]

# Of a plan with max_documents, dead letters that are tried again take at most this share, and at least one place.
_LETTERS_SHARE = 5


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What to plan. ``matches`` says of a key whether the source takes it; ``max_documents`` None means all.
    ``retry_passing_after_s`` is how long a passing dead letter waits for its next round. ``fail_on_empty_source``: a
    source without a document is an error, not a warning. ``folding``: how the ledger is folded."""

    run: RunIdentity
    settings: OutputSettings
    bucket: str
    prefix: str
    matches: Callable[[str], bool]
    batch_size: int
    max_documents: int | None = None
    retry_passing_after_s: float = DEFAULT_RETRY_PASSING_AFTER_S
    fail_on_empty_source: bool = False
    folding: Folding = field(default_factory=Folding)


def parameters_digest(source: str, settings: OutputSettings, max_documents: int | None) -> str:
    """32 hex digits over what decides which documents a plan has and what is written of them."""
    identity = [source, max_documents, asdict(settings)]
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def call_order(document_id: str, writer_id: str) -> bytes:
    """A key that sorts the documents of a batch into an order of this process's own.

    What is bad together stands together in a listing, a folder of broken scans for example. Called one after the other
    such documents look like an outage, and each try would end at them, before it comes to what stands behind."""
    return hashlib.sha256(f"{writer_id} {document_id}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Letter:
    """A passing dead letter: its document, and what the commit says that made it one."""

    document: SourceObject
    document_type: str
    retake: Retake
    last_called_at: datetime


@dataclass(slots=True)
class PassingLetters:
    """The passing dead letters of a destination, from its commits in order: the newest entry of a document counts.
    ``folded`` are those of them whose documents are not known yet. ``reopened`` are documents that were taken and are
    gone by now: put back, they are new again."""

    letters: dict[str, Letter] = field(default_factory=dict)
    folded: dict[str, FoldedLetter] = field(default_factory=dict)
    reopened: set[str] = field(default_factory=set)

    def see(self, entry: CommitEntry) -> None:
        """Learn of the next commit."""
        for outcome in entry.outcomes:
            document_id = outcome.document.document_id
            known = self._forget(document_id)
            if outcome.outcome is Outcome.GONE:
                if known:
                    self.reopened.add(document_id)
                continue
            self.reopened.discard(document_id)
            if outcome.passing and outcome.last_called_at is not None:
                retake = Retake(document_id, entry.number, outcome.rounds, outcome.all_rounds)
                document_type = entry.settings.document_type
                self.letters[document_id] = Letter(outcome.document, document_type, retake, outcome.last_called_at)

    def see_segment(self, segment: Segment) -> None:
        """Learn of the next commits, all of a segment at once. No commit was seen before it."""
        for document_id in [one for one in (*self.folded, *self.reopened) if segment.takes(one)]:
            self.folded.pop(document_id, None)
            self.reopened.discard(document_id)
        gone = [one for one in segment.gone if one in self.folded]
        for document_id in (*segment.reopened, *gone):
            self.folded.pop(document_id, None)
            self.reopened.add(document_id)
        self.folded.update((letter.retake.document_id, letter) for letter in segment.passing)

    def unread(self, request: PlanRequest, now: datetime) -> list[int]:
        """The commits that name the documents of folded letters that are due, the longest wait first."""
        due = [
            letter
            for letter in self.folded.values()
            if _is_due(letter, now, request.retry_passing_after_s)
            and letter.document_type == request.settings.document_type
            and letter.bucket == request.bucket
        ]
        due.sort(key=lambda letter: (letter.last_called_at, letter.retake.document_id))
        return list(dict.fromkeys(letter.retake.commit for letter in due))

    def read(self, entry: CommitEntry) -> None:
        """Learn the documents of the folded letters that the commit made."""
        for outcome in entry.outcomes:
            document_id = outcome.document.document_id
            letter = self.folded.get(document_id)
            if letter is not None and letter.retake.commit == entry.number:
                del self.folded[document_id]
                self.letters[document_id] = Letter(
                    outcome.document, letter.document_type, letter.retake, letter.last_called_at
                )

    def leave_out(self, document_id: str) -> None:
        """The document is planned already."""
        self._forget(document_id)
        self.reopened.discard(document_id)

    def due(self, request: PlanRequest, now: datetime, *, planned: int = 0) -> list[Letter]:
        """Those that the request's run tries again, the one that waits longest first. So many of the plan's places for
        them are ``planned`` already."""
        due = [
            letter
            for letter in self.letters.values()
            if _is_due(letter, now, request.retry_passing_after_s)
            and letter.document_type == request.settings.document_type
            and letter.document.bucket == request.bucket
            and letter.document.key.startswith(request.prefix)
            and request.matches(letter.document.key)
        ]
        due.sort(key=lambda letter: (letter.last_called_at, letter.document.key))
        return due[: places_for_letters(request, planned)]

    def _forget(self, document_id: str) -> bool:
        """Whether it was a passing dead letter."""
        is_letter = self.letters.pop(document_id, None) is not None
        return self.folded.pop(document_id, None) is not None or is_letter


def places_for_letters(request: PlanRequest, planned: int = 0) -> int | None:
    """How many dead letters a plan takes that has ``planned`` of them already; None means all."""
    if request.max_documents is None:
        return None
    return max(0, max(1, request.max_documents // _LETTERS_SHARE) - planned)


def _is_due(letter: Letter | FoldedLetter, now: datetime, after_s: float) -> bool:
    """Whether a run that begins now tries it again. The first pause is ``after_s``, the others are twice as long. A
    call that lies in the future was made by a wrong clock, which holds nobody up."""
    pause = timedelta(seconds=after_s * (2 if letter.retake.all_rounds else 1))
    return now >= letter.last_called_at + pause or now < letter.last_called_at


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
        limit = self.request.max_documents
        return limit is not None and self.documents + len(self._open) + len(self._due) >= limit

    def offer(self, listed: SourceObject, taken: Callable[[str], bool]) -> PlanBatch | None:
        """Take the object unless it is no document, outside the source, taken already or over ``max_documents``; return
        the batch that it completes."""
        self.listed += 1
        if self.full() or not self.request.matches(listed.key):
            return None
        if is_no_document(listed):
            self.skipped += 1
            return None
        self.found += 1
        if taken(listed.document_id):
            self.left_out += listed.document_id not in self._retaken
            return None
        self._open.append(listed)
        return self._close() if len(self._open) == self.request.batch_size else None

    def empty_source(self) -> ConfigurationError | None:
        """What a source without a document means, if it is an error, once its listing was read; None where it has one,
        or where not all of it was read."""
        if self.found or self.full() or self.documents > self.letters:
            return None
        return ConfigurationError(
            "source",
            f"has no document: of {self.listed} objects under its prefix none is one that it takes, and {self.skipped} "
            "are markers or left behind by systems. Check its bucket and folder, its capital letters, which count "
            "unless (?i) stands before them, and its brackets, which mean one of the characters in them",
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
        return batch

    def _count(self, batch: PlanBatch) -> None:
        self._sizes.append(len(batch.documents))
        if batch.retakes:
            self._retaken_batches.append(self.number)
        self.number += 1
        self.documents += len(batch.documents)
        self.letters += len(batch.retakes)
