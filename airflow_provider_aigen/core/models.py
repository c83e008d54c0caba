# SPDX-License-Identifier: Apache-2.0
"""Everything that flows through the provider, in the order in which it flows.

listing → :class:`SourceObject` → :class:`PlanBatch` → (one call) :class:`ApiResponse` | :class:`CallFailure` →
:class:`KeptAnswer` → :class:`FieldRows` → :class:`DocumentOutcome` → :class:`CommitEntry` → the tables →
:class:`RunReport`

Three other modules define some of them. :mod:`~airflow_provider_aigen.core.answers` has the results of calls.
:mod:`~airflow_provider_aigen.core.field_rows` has the rows of an answer.
:mod:`~airflow_provider_aigen.core.identities` has documents and runs. All values are frozen. All times are aware
UTC datetimes, all durations are seconds, all sizes are bytes, and pages count from 1. ``adapters/state/store.py``
writes what is stored of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from airflow_provider_aigen.core.answers import (
    Answer,
    ApiError,
    ApiResponse,
    CallFailure,
    Claim,
    FailureKind,
    KeptAnswer,
    answer_key,
)
from airflow_provider_aigen.core.field_rows import NO_ROWS, Box, Boxes, FieldRow, FieldRows, Point
from airflow_provider_aigen.core.identities import OutputSettings, RunIdentity, SourceObject
from airflow_provider_aigen.core.quality import EntryStatistics
from airflow_provider_aigen.core.spend import Cost, RunSpend

__all__ = [
    "NO_ROWS",
    "Answer",
    "ApiError",
    "ApiResponse",
    "Box",
    "Boxes",
    "CallFailure",
    "Claim",
    "CommitEntry",
    "DocumentOutcome",
    "EntryStatistics",
    "ErrorOrigin",
    "FailureKind",
    "FieldRow",
    "FieldRows",
    "KeptAnswer",
    "Outcome",
    "OutputSettings",
    "Plan",
    "PlanBatch",
    "Point",
    "Retake",
    "RunIdentity",
    "RunReport",
    "SourceObject",
    "Table",
]

# --- what is planned ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Retake:
    """A document that ``commit`` made a dead letter, and that is tried again. ``rounds`` are the failed rounds that
    count so far, ``all_rounds`` all failed rounds.

    A redrive says more: ``former`` is the outcome that is retaken, ``answer`` the number of the answer that is to be
    had, and ``image`` the URI of the letter's image, which is read where the source is gone."""

    document_id: str
    commit: int
    rounds: int = 0
    all_rounds: int = 0
    answer: int = 0
    former: DocumentOutcome | None = None
    image: str | None = field(repr=False, default=None)

    @property
    def is_redrive(self) -> bool:
        return self.former is not None


@dataclass(frozen=True, slots=True)
class PlanBatch:
    """Documents that are committed together, in listing order. ``number`` counts from 0.

    ``as_of`` is the newest commit that the planner had read: newer ones may have taken documents of this batch.
    ``retakes`` has those that are dead letters of earlier runs. ``state_id`` names the state; None in version 0.1."""

    run: RunIdentity
    number: int
    as_of: int
    settings: OutputSettings
    documents: tuple[SourceObject, ...]
    retakes: tuple[Retake, ...] = ()
    state_id: str | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan's last object: it exists, so the plan is whole. ``already_done`` were listed and left
    out, and so were ``skipped``, which are no documents (``core.no_documents``). ``letters`` of the ``documents`` are
    dead letters that are tried again, in the batches ``retaken``. ``sizes`` has the number of documents of each
    batch; it is empty in the plans of version 0.1. ``planned_at`` is None there."""

    run: RunIdentity
    batches: int
    documents: int
    as_of: int
    already_done: int
    settings: OutputSettings
    skipped: int = 0
    letters: int = 0
    state_id: str | None = None
    sizes: tuple[int, ...] = ()
    retaken: tuple[int, ...] = ()
    planned_at: datetime | None = None


# --- what becomes of a document -----------------------------------------------------------------------------------


class Outcome(StrEnum):
    """The end of a planned document (design §3.1)."""

    EXTRACTED = "extracted"
    PARTIAL = "partial"
    DEAD_LETTER = "dead_letter"
    GONE = "gone"
    ERASED = "erased"  # of no plan: an erasure takes the document for good


class ErrorOrigin(StrEnum):
    """Where the reason lies that a document was refused."""

    API = "api"
    PREFLIGHT = "preflight"
    SOURCE = "source"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class DocumentOutcome:
    """The one end of a planned document. Only facts that a commit must fix are here; the confidences of the documents
    table are computed from the kept answer when the part is written.

    ``error_code`` is the first of ``error_codes``; ``messages`` are the contract's own sentences, nothing else.
    ``pages`` is None where no answer gave pages; ``field_count`` is how many rows the document has in ``fields``.
    ``attempts`` are the calls behind the outcome, also where they were made for another document of the same bytes.

    A dead letter is ``passing`` while later runs still try it again; ``last_called_at`` is when it was tried last, and
    ``rounds`` and ``all_rounds`` count as in :class:`Retake`. ``retakes`` is the commit whose dead letter this outcome
    replaces, None where it is the document's first.

    ``answer`` is the number of the answer that the outcome rests on: 0 is the first one about these bytes, and redrives
    count up. ``took_pages`` are the pages whose rows come with this outcome, None for all: a redrive of a partial
    document adds only pages that had failed."""

    document: SourceObject
    outcome: Outcome
    content_sha256: str | None = None
    error_codes: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    error_origin: ErrorOrigin | None = None
    http_status: int | None = None
    pages: int | None = None
    failed_pages: tuple[int, ...] = ()
    field_count: int = 0
    attempts: int = 0
    latency_s: float | None = None
    answer_reused: bool = False
    extracted_at: datetime | None = None
    source_version_id: str | None = None
    passing: bool = False
    last_called_at: datetime | None = None
    rounds: int = 0
    all_rounds: int = 0
    retakes: int | None = None
    answer: int = 0
    took_pages: tuple[int, ...] | None = None

    @property
    def answer_key(self) -> str | None:
        """The name of its answer: see :func:`~airflow_provider_aigen.core.answers.answer_key`."""
        return None if self.content_sha256 is None else answer_key(self.content_sha256, self.answer)

    def rows_of(self, rows: FieldRows) -> FieldRows:
        """Of the rows of its answer those that come with this outcome."""
        return rows if self.took_pages is None else rows.of_pages(self.took_pages)

    @property
    def adds_rows(self) -> bool:
        """Whether it may have rows that no earlier outcome had."""
        return self.has_rows and self.took_pages != ()

    @property
    def error_code(self) -> str | None:
        return self.error_codes[0] if self.error_codes else None

    @property
    def has_rows(self) -> bool:
        return self.outcome in (Outcome.EXTRACTED, Outcome.PARTIAL)

    @property
    def has_dead_letter(self) -> bool:
        return self.outcome in (Outcome.DEAD_LETTER, Outcome.PARTIAL)


@dataclass(frozen=True, slots=True)
class CommitEntry:
    """Commit ``number``: which documents of which batch it takes, and each one's outcome, in plan order. A batch may
    have several entries.

    ``writer_id`` tells one's own unacknowledged write from another's. ``state_id`` and ``committed_at`` are None in the
    entries of version 0.1, ``statistics`` in older ones too."""

    number: int
    writer_id: str
    run: RunIdentity
    batch: int
    settings: OutputSettings
    outcomes: tuple[DocumentOutcome, ...]
    state_id: str | None = None
    committed_at: datetime | None = None
    statistics: EntryStatistics | None = None


# --- what is written ----------------------------------------------------------------------------------------------


class Table(StrEnum):
    """The tables that have a part per commit, in the order in which a commit writes them: a document that has a row in
    ``documents`` has its rows in the others already."""

    FIELDS = "fields"
    RECORDS = "records"
    DOCUMENTS = "documents"


@dataclass(frozen=True, slots=True)
class RunReport:
    """A reconciled run: ``documents == extracted + partial + dead_letter + gone``.

    ``api_calls``, ``paid_calls``, ``answers_reused``, ``billed_retries`` and ``cost`` are those of this try; the rest
    is the run's, whatever the try; ``spend`` is what all its tries cost. ``paid_calls`` are the calls that may be on
    the bill (``core.service.verdicts.is_paid``), ``billed_retries`` those that repeat one of them (design §5).
    ``error_codes`` names codes as dead-letter paths do (``core.path_segments.path_segment``), the
    50 most frequent of them and the rest as ``other``. ``settings`` are the plan's: where the run wrote to, whatever
    its task would say today. ``passing`` counts, per code, the dead letters that later runs try again;
    ``healed`` those of earlier runs that have rows now, ``final`` those that are not tried again. ``skipped`` are
    objects of the source that are no documents, beside the ``documents``."""

    run_key: str
    documents: int
    extracted: int
    partial: int
    dead_letter: int
    gone: int
    rows: int
    commits: int
    error_codes: Mapping[str, int]
    api_calls: int = 0
    answers_reused: int = 0
    billed_retries: int = 0
    paid_calls: int = 0
    cost: Cost | None = None
    settings: OutputSettings | None = None
    passing: Mapping[str, int] = field(default_factory=dict)
    healed: int = 0
    final: int = 0
    skipped: int = 0
    spend: RunSpend | None = None
