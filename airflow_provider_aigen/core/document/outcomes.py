# SPDX-License-Identifier: Apache-2.0
"""What became of one document, from what was seen of it (design §3.1 and §5).

An outcome follows from the kept answer alone, so that a retry, a clear or another run's process comes to the same one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from airflow_provider_aigen.core.answers import split_answer_key
from airflow_provider_aigen.core.document.reading import Reading
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import (
    NO_ROWS,
    DocumentOutcome,
    ErrorOrigin,
    FieldRows,
    Outcome,
    Retake,
    SourceObject,
)
from airflow_provider_aigen.core.service.verdicts import Extracted, Failed, Refused

__all__ = ["LastCall", "Round", "answered", "failed", "gone", "rejected"]


# So many failed rounds of any kind, and a dead letter is final whatever they showed.
_MOST_ROUNDS = 10


def gone(document: SourceObject, retake: Retake | None = None) -> DocumentOutcome:
    """Deleted or replaced before it was read; a replacement is a new document for the next run."""
    return _retaken(DocumentOutcome(document, Outcome.GONE), retake)


def rejected(
    document: SourceObject,
    code: str,
    origin: ErrorOrigin,
    *,
    content_sha256: str | None = None,
    version_id: str | None = None,
    retake: Retake | None = None,
) -> DocumentOutcome:
    """A dead letter without a call: refused by preflight, or not readable at the source."""
    outcome = DocumentOutcome(
        document,
        Outcome.DEAD_LETTER,
        content_sha256=content_sha256,
        error_codes=(code,),
        error_origin=origin,
        source_version_id=version_id,
    )
    return _retaken(outcome, retake)


@dataclass(frozen=True, slots=True)
class Round:
    """How a try ends for a document whose failure may pass: ``counts`` as in ``Health.round_counts``, ``most`` rounds
    that count make a dead letter final."""

    counts: bool
    most: int


@dataclass(frozen=True, slots=True)
class LastCall:
    """The newest of a document's ``calls`` in a try. Without a call ``at`` is when the document was given up."""

    at: datetime
    calls: int = 0
    latency_s: float | None = None


def failed(
    document: SourceObject,
    verdict: Failed,
    last: LastCall,
    this: Round,
    *,
    content_sha256: str | None,
    version_id: str | None = None,
    retake: Retake | None = None,
) -> DocumentOutcome:
    """A dead letter whose failure may pass: later runs try the document again, until it is final. Without a
    call the reason lies in the state."""
    rounds = retake.rounds + this.counts if retake else 0
    all_rounds = retake.all_rounds + 1 if retake else 0
    content_sha256, answer = _split(content_sha256)
    outcome = DocumentOutcome(
        document,
        Outcome.DEAD_LETTER,
        content_sha256=content_sha256,
        answer=answer,
        error_codes=verdict.error_codes,
        messages=verdict.messages,
        error_origin=ErrorOrigin.API if last.calls else ErrorOrigin.STATE,
        http_status=verdict.status,
        pages=verdict.pages,
        failed_pages=verdict.failed_pages,
        attempts=last.calls,
        latency_s=last.latency_s,
        source_version_id=version_id,
        passing=rounds < this.most and all_rounds < _MOST_ROUNDS,
        last_called_at=last.at,
        rounds=rounds,
        all_rounds=all_rounds,
    )
    return _retaken(outcome, retake)


def answered(
    document: SourceObject,
    reading: Reading,
    *,
    reused: bool,
    version_id: str | None = None,
    retake: Retake | None = None,
) -> DocumentOutcome:
    """The outcome that a kept answer means. Raises ``ReconciliationError`` for one that should never have been kept."""
    kept, verdict = reading.kept, reading.verdict
    error_codes: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    pages: int | None = None
    failed_pages: tuple[int, ...] = ()
    match verdict:
        case Extracted():
            outcome = Outcome.PARTIAL if verdict.failed_pages else Outcome.EXTRACTED
            error_codes, messages = verdict.error_codes, verdict.messages
            failed_pages = verdict.failed_pages
            pages = max(verdict.pages, *failed_pages, 0)
        case Refused() | Failed():  # version 0.1 kept failures too, as final
            outcome = Outcome.DEAD_LETTER
            error_codes, messages = verdict.error_codes, verdict.messages
            pages, failed_pages = verdict.pages, verdict.failed_pages
        case _:
            raise ReconciliationError(f"a kept answer reads as {type(verdict).__name__}, which is never kept")
    content_sha256, answer = split_answer_key(kept.content_sha256)
    answered = DocumentOutcome(
        document=document,
        outcome=outcome,
        content_sha256=content_sha256,
        answer=answer,
        error_codes=error_codes,
        messages=messages,
        error_origin=ErrorOrigin.API if error_codes else None,
        http_status=kept.status,
        pages=pages,
        failed_pages=failed_pages,
        field_count=len(reading.rows),
        attempts=kept.attempts,
        latency_s=kept.latency_s,
        answer_reused=reused,
        extracted_at=kept.received_at,
        source_version_id=version_id,
    )
    return _retaken(answered, retake, reading.rows)


def _retaken(outcome: DocumentOutcome, retake: Retake | None, rows: FieldRows = NO_ROWS) -> DocumentOutcome:
    if retake is None:
        return outcome
    outcome = replace(outcome, retakes=retake.commit)
    return outcome if retake.former is None else _redriven(outcome, retake.former, rows)


def _redriven(outcome: DocumentOutcome, former: DocumentOutcome, rows: FieldRows) -> DocumentOutcome:
    """What a redrive makes of a dead letter. The good pages of a partial document have their rows already, so only
    pages that had failed are taken. Where nothing came of it, the letter stays as it is."""
    stays = replace(
        former,
        retakes=outcome.retakes,
        field_count=0,
        took_pages=() if former.has_rows else None,
    )
    if outcome.outcome is Outcome.GONE or (outcome.passing and not former.passing):
        return stays
    if former.outcome is not Outcome.PARTIAL:
        return outcome
    good = {*range(1, (outcome.pages or 0) + 1)}.difference(outcome.failed_pages) if outcome.has_rows else set()
    took = tuple(page for page in former.failed_pages if page in good)
    if not took:
        # Its answer is kept, so the next redrive has to ask for another one. No row of it is read.
        return stays if outcome.passing else replace(stays, answer=outcome.answer)
    left = tuple(page for page in former.failed_pages if page not in good)
    read = replace(
        outcome,
        pages=max(former.pages or 0, outcome.pages or 0),
        failed_pages=left,
        took_pages=took,
        field_count=sum(number in took for number in rows.page_numbers),
    )
    if left:
        codes = outcome.error_codes or former.error_codes
        return replace(read, outcome=Outcome.PARTIAL, error_codes=codes, error_origin=former.error_origin)
    return replace(read, outcome=Outcome.EXTRACTED, error_codes=(), messages=(), error_origin=None)


def _split(key: str | None) -> tuple[str | None, int]:
    return (None, 0) if key is None else split_answer_key(key)
