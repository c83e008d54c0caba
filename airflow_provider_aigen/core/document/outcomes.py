# SPDX-License-Identifier: Apache-2.0
"""What became of one document, from what was seen of it (design §3.1 and §5).

An outcome follows from the kept answer alone, so that a retry, a clear or another run's process comes to the same one.
"""

from __future__ import annotations

from airflow_provider_aigen.core.document.reading import Reading
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import DocumentOutcome, ErrorOrigin, Outcome, SourceObject
from airflow_provider_aigen.core.service.classify import (
    MALFORMED_RESPONSE,
    SERVICE_ERROR,
    Extracted,
    Malformed,
    Refused,
)

__all__ = ["answered", "gone", "rejected", "service_failed"]


def gone(document: SourceObject) -> DocumentOutcome:
    """Deleted or replaced before it was read; a replacement is a new document for the next run."""
    return DocumentOutcome(document, Outcome.GONE)


def rejected(
    document: SourceObject,
    code: str,
    origin: ErrorOrigin,
    *,
    content_sha256: str | None = None,
    version_id: str | None = None,
) -> DocumentOutcome:
    """A dead letter without a call: refused by preflight, or not readable at the source."""
    return DocumentOutcome(
        document,
        Outcome.DEAD_LETTER,
        content_sha256=content_sha256,
        error_codes=(code,),
        error_origin=origin,
        source_version_id=version_id,
    )


def service_failed(
    document: SourceObject,
    *,
    content_sha256: str,
    status: int | None,
    attempts: int,
    latency_s: float,
    version_id: str | None = None,
) -> DocumentOutcome:
    """The service failed for this document alone, while it answered others."""
    return DocumentOutcome(
        document,
        Outcome.DEAD_LETTER,
        content_sha256=content_sha256,
        error_codes=(SERVICE_ERROR,),
        error_origin=ErrorOrigin.API,
        http_status=status,
        attempts=attempts,
        latency_s=latency_s,
        source_version_id=version_id,
    )


def answered(
    document: SourceObject, reading: Reading, *, reused: bool, version_id: str | None = None
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
            pages, failed_pages = len(verdict.answer.pages), verdict.failed_pages
        case Refused():
            outcome = Outcome.DEAD_LETTER
            error_codes, messages = verdict.error_codes, verdict.messages
            pages, failed_pages = verdict.pages, verdict.failed_pages
        case Malformed():
            outcome = Outcome.DEAD_LETTER
            error_codes = (MALFORMED_RESPONSE,)
        case _:
            raise ReconciliationError(f"a kept answer reads as {type(verdict).__name__}, which is never kept")
    return DocumentOutcome(
        document=document,
        outcome=outcome,
        content_sha256=kept.content_sha256,
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
