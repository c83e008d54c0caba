# SPDX-License-Identifier: Apache-2.0
"""Each end of a document has the facts that belong to it and no others."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from airflow_provider_aigen.core.document.outcomes import answered, gone, rejected, service_failed
from airflow_provider_aigen.core.document.reading import Reading, read
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import (
    DocumentOutcome,
    ErrorOrigin,
    FailureKind,
    KeptAnswer,
    Outcome,
    SourceObject,
)

MOMENT = datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
DOCUMENT = SourceObject("scans", "in/a.png", "etag", 10, MOMENT)
PAGE = {"plate": {"value": "1กก 1234", "confidence": 0.9}, "colour": {"value": "red", "confidence": 0.8}}


def kept(status: int | None, body: object = None, failure: FailureKind | None = None) -> Reading:
    data = b"" if body is None else json.dumps(body).encode()
    return read(KeptAnswer("sha", "vehicle-registration-book/v2", status, data, MOMENT, 3, 1.25, failure))


def outcome(kind: Outcome, **facts) -> DocumentOutcome:
    """What every outcome of an answer has, and ``facts``."""
    return DocumentOutcome(
        DOCUMENT, kind, **({"content_sha256": "sha", "attempts": 3, "latency_s": 1.25, "extracted_at": MOMENT} | facts)
    )


def test_a_document_that_is_gone_has_nothing_else():
    assert gone(DOCUMENT) == DocumentOutcome(DOCUMENT, Outcome.GONE)


@pytest.mark.parametrize("origin", [ErrorOrigin.PREFLIGHT, ErrorOrigin.SOURCE])
def test_a_document_that_is_not_sent_is_a_dead_letter_without_a_call(origin):
    assert rejected(DOCUMENT, "1001", origin, content_sha256="sha", version_id="v7") == DocumentOutcome(
        DOCUMENT,
        Outcome.DEAD_LETTER,
        content_sha256="sha",
        error_codes=("1001",),
        error_origin=origin,
        source_version_id="v7",
    )
    assert rejected(DOCUMENT, "1001", origin).content_sha256 is None


@pytest.mark.parametrize("status", [500, None])
def test_a_service_that_failed_for_one_document(status):
    found = service_failed(DOCUMENT, content_sha256="sha", status=status, attempts=4, latency_s=2.5, version_id="v7")
    assert found == DocumentOutcome(
        DOCUMENT,
        Outcome.DEAD_LETTER,
        content_sha256="sha",
        error_codes=("service_error",),
        error_origin=ErrorOrigin.API,
        http_status=status,
        attempts=4,
        latency_s=2.5,
        source_version_id="v7",
    )


def test_pages_with_fields_are_extracted():
    answer = kept(200, {"data": [PAGE, PAGE]})
    assert answered(DOCUMENT, answer, reused=True, version_id="v7") == outcome(
        Outcome.EXTRACTED, http_status=200, pages=2, field_count=4, answer_reused=True, source_version_id="v7"
    )
    assert answered(DOCUMENT, answer, reused=False) == outcome(
        Outcome.EXTRACTED, http_status=200, pages=2, field_count=4
    )


def test_a_page_that_failed_beside_one_that_did_not_is_partial():
    errors = [{"code": "1003", "message": "Cannot read specified image"}]
    found = answered(DOCUMENT, kept(206, {"data": [PAGE, {}], "error": errors}), reused=False)
    assert found == outcome(
        Outcome.PARTIAL,
        http_status=206,
        pages=2,
        failed_pages=(2,),
        field_count=2,
        error_codes=("1003",),
        messages=("Cannot read specified image",),
        error_origin=ErrorOrigin.API,
    )


def test_a_refusal_is_a_dead_letter():
    errors = [{"code": "1003", "message": "Cannot read specified image"}]
    found = answered(DOCUMENT, kept(400, {"data": [{}, {}], "error": errors}), reused=True)
    assert found == outcome(
        Outcome.DEAD_LETTER,
        http_status=400,
        pages=2,
        failed_pages=(1, 2),
        error_codes=("1003",),
        messages=("Cannot read specified image",),
        error_origin=ErrorOrigin.API,
        answer_reused=True,
    )


@pytest.mark.parametrize("answer", [kept(None), kept(200, []), kept(None, failure=FailureKind.TOO_LARGE)])
def test_an_answer_that_nobody_can_read_is_a_dead_letter(answer):
    assert answered(DOCUMENT, answer, reused=False) == outcome(
        Outcome.DEAD_LETTER,
        http_status=answer.kept.status,
        error_codes=("malformed_response",),
        error_origin=ErrorOrigin.API,
    )


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [(kept(500), "ServiceFailed"), (kept(401), "Fatal"), (kept(429), "Throttled")],
)
def test_what_is_never_kept_is_no_outcome(answer, verdict):
    with pytest.raises(ReconciliationError, match=f"reads as {verdict}"):
        answered(DOCUMENT, answer, reused=False)
