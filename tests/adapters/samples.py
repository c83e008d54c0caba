# SPDX-License-Identifier: Apache-2.0
"""Values for the adapters' tests; people and plates are invented."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow_provider_aigen.core.models import (
    NO_ROWS,
    CommitEntry,
    DocumentOutcome,
    ErrorOrigin,
    FieldRow,
    FieldRows,
    KeptAnswer,
    Outcome,
    OutputSettings,
    Plan,
    PlanBatch,
    RunIdentity,
    SourceObject,
)

RUN = RunIdentity("vehicle_registration_ocr", "ocr", "scheduled__2026-11-22T07:00:00+00:00")
SEEN = datetime(2026, 11, 22, 7, 0, 1, 250_000, UTC)
ANSWERED = datetime(2026, 11, 22, 7, 0, 2, 123_456, UTC)
TYPE = "vehicle-registration-book/v2"


def settings(**changes: Any) -> OutputSettings:
    values: dict[str, Any] = {
        "document_type": TYPE,
        "destination": "s3://lake/vehicle_registration/",
        "dead_letter": "s3://lake/dead_letter/",
        "partition": "dt=2026-11-22",
    }
    return OutputSettings(**(values | changes))


def document(number: int = 1, **changes: Any) -> SourceObject:
    values = {
        "bucket": "scans",
        "key": f"incoming/กข {number}.jpg",
        "etag": f"{number:032x}",
        "size": 300_000 + number,
        "last_modified": SEEN,
    }
    return SourceObject(**(values | changes))


def extracted(number: int = 1, rows: int = 2, **changes: Any) -> DocumentOutcome:
    values: dict[str, Any] = {
        "document": document(number),
        "outcome": Outcome.EXTRACTED,
        "content_sha256": f"{number:064x}",
        "http_status": 200,
        "pages": 1,
        "field_count": rows,
        "attempts": 1,
        "latency_s": 0.5,
        "extracted_at": ANSWERED,
    }
    return DocumentOutcome(**(values | changes))


def refused(number: int = 1, *codes: str, **changes: Any) -> DocumentOutcome:
    values: dict[str, Any] = {
        "document": document(number),
        "outcome": Outcome.DEAD_LETTER,
        "content_sha256": f"{number:064x}",
        "error_codes": codes or ("1001",),
        "messages": ("a side is too short",),
        "error_origin": ErrorOrigin.API,
        "http_status": 400,
        "attempts": 1,
        "latency_s": 0.25,
        "extracted_at": ANSWERED,
    }
    return DocumentOutcome(**(values | changes))


def partial(number: int = 1) -> DocumentOutcome:
    return extracted(
        number,
        outcome=Outcome.PARTIAL,
        error_codes=("internal_server_error", "partial_content"),
        error_origin=ErrorOrigin.API,
        http_status=206,
        pages=2,
        failed_pages=(2,),
    )


def entry(*outcomes: DocumentOutcome, number: int = 42, batch: int = 3, **changes: Any) -> CommitEntry:
    return CommitEntry(number, "writer-1", RUN, batch, settings(**changes), outcomes)


def batch(number: int = 0, documents: int = 3) -> PlanBatch:
    return PlanBatch(RUN, number, 41, settings(min_confidence=0.9), tuple(document(n) for n in range(documents)))


def plan(**changes: Any) -> Plan:
    values: dict[str, Any] = {
        "run": RUN,
        "batches": 2,
        "documents": 6,
        "as_of": 41,
        "already_done": 7,
        "settings": settings(),
        "skipped": 1,
    }
    return Plan(**(values | changes))


def answer(body: bytes = b'{"status": "success"}', **changes: Any) -> KeptAnswer:
    values: dict[str, Any] = {
        "content_sha256": "ab" * 32,
        "document_type": TYPE,
        "status": 200,
        "body": body,
        "received_at": ANSWERED,
        "attempts": 1,
        "latency_s": 0.5,
    }
    return KeptAnswer(**(values | changes))


BOX = ((1.0, 2.0), (30.5, 2.0), (30.5, 9.0), (1.0, 9.0))


PLATE = FieldRow(1, "registration_number_car", "1กข 1234", 0.98, (BOX, BOX), (((0.1, 0.2), (0.3, 0.4)),))
OWNERSHIP = FieldRow(1, "ownership", None, None, None, (), '{"valid": false}')


def field_rows() -> FieldRows:
    return FieldRows.of([PLATE, OWNERSHIP])


def committed() -> tuple[CommitEntry, list[tuple[DocumentOutcome, FieldRows]]]:
    """A commit of three documents and the rows of each."""
    outcomes = (extracted(1), refused(2, "1001", "bad/request"), partial(3))
    return entry(*outcomes), list(zip(outcomes, (field_rows(), NO_ROWS, FieldRows.of([PLATE])), strict=True))
