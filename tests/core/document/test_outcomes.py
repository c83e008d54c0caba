# SPDX-License-Identifier: Apache-2.0
"""Each end of a document has the facts that belong to it and no others."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from airflow_provider_aigen.core.document.outcomes import LastCall, Round, answered, failed, gone, rejected
from airflow_provider_aigen.core.document.reading import Reading, read
from airflow_provider_aigen.core.errors import ReconciliationError
from airflow_provider_aigen.core.models import (
    DocumentOutcome,
    ErrorOrigin,
    FailureKind,
    KeptAnswer,
    Outcome,
    Retake,
    SourceObject,
)
from airflow_provider_aigen.core.service.verdicts import Failed

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
    assert not rejected(DOCUMENT, "1001", origin, retake=RETAKE).passing


SERVICE_ERROR = Failed(500, ("service_error",), billed=True)
PAGE_ERROR = Failed(
    206, ("internal_server_error", "206"), billed=True, messages=("Partial content",), pages=2, failed_pages=(1, 2)
)


def test_a_service_that_failed_for_one_document():
    found = failed(
        DOCUMENT,
        SERVICE_ERROR,
        LastCall(MOMENT, 4, 2.5),
        Round(True, 3),
        content_sha256="sha",
        version_id="v7",
    )
    assert found == DocumentOutcome(
        DOCUMENT,
        Outcome.DEAD_LETTER,
        content_sha256="sha",
        error_codes=("service_error",),
        error_origin=ErrorOrigin.API,
        http_status=500,
        attempts=4,
        latency_s=2.5,
        source_version_id="v7",
        passing=True,
        last_called_at=MOMENT,
    )


def test_pages_that_all_broke():
    found = failed(DOCUMENT, PAGE_ERROR, LastCall(MOMENT, 1), Round(True, 3), content_sha256="sha")
    assert found == DocumentOutcome(
        DOCUMENT,
        Outcome.DEAD_LETTER,
        content_sha256="sha",
        error_codes=("internal_server_error", "206"),
        messages=("Partial content",),
        error_origin=ErrorOrigin.API,
        http_status=206,
        pages=2,
        failed_pages=(1, 2),
        attempts=1,
        passing=True,
        last_called_at=MOMENT,
    )


def test_a_damaged_state_is_a_failure_without_a_call():
    damaged = Failed(None, ("damaged_state",), billed=False)
    found = failed(DOCUMENT, damaged, LastCall(MOMENT), Round(False, 3), content_sha256="sha")
    assert (found.error_origin, found.error_code, found.passing) == (ErrorOrigin.STATE, "damaged_state", True)
    assert (found.attempts, found.latency_s, found.http_status) == (0, None, None)


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("most", [1, 3])
def test_the_failure_of_a_new_document_is_no_round_yet(counts, most):
    found = failed(DOCUMENT, SERVICE_ERROR, LastCall(MOMENT, 3), Round(counts, most), content_sha256="sha")
    assert (found.passing, found.rounds, found.all_rounds, found.retakes) == (True, 0, 0, None)


@pytest.mark.parametrize(
    ("before", "counts", "after", "passing"),
    [
        ((0, 0), True, (1, 1), True),
        ((0, 0), False, (0, 1), True),
        ((1, 4), True, (2, 5), True),
        ((2, 2), True, (3, 3), False),
        ((2, 4), False, (2, 5), True),
        ((0, 8), False, (0, 9), True),
        ((0, 9), False, (0, 10), False),
        ((2, 9), True, (3, 10), False),
        ((5, 5), False, (5, 6), False),  # retry_passing_rounds was higher before
    ],
)
def test_rounds_are_counted_until_a_dead_letter_is_final(before, counts, after, passing):
    found = failed(
        DOCUMENT,
        SERVICE_ERROR,
        LastCall(MOMENT, 1),
        Round(counts, 3),
        content_sha256="sha",
        retake=Retake(DOCUMENT.document_id, 17, *before),
    )
    assert ((found.rounds, found.all_rounds), found.passing, found.retakes) == (after, passing, 17)


RETAKE = Retake(DOCUMENT.document_id, 17, 1, 2)


def test_every_end_of_a_retake_names_the_commit_that_it_retakes():
    assert gone(DOCUMENT, RETAKE) == DocumentOutcome(DOCUMENT, Outcome.GONE, retakes=17)
    refused = rejected(DOCUMENT, "1001", ErrorOrigin.SOURCE, retake=RETAKE)
    assert refused == replace(rejected(DOCUMENT, "1001", ErrorOrigin.SOURCE), retakes=17)
    healed = answered(DOCUMENT, kept(200, {"data": [PAGE]}), reused=False, retake=RETAKE)
    assert healed == replace(answered(DOCUMENT, kept(200, {"data": [PAGE]}), reused=False), retakes=17)


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
def test_an_answer_that_version_0_1_kept_though_nobody_can_read_it_is_a_final_dead_letter(answer):
    assert answered(DOCUMENT, answer, reused=False) == outcome(
        Outcome.DEAD_LETTER,
        http_status=answer.kept.status,
        error_codes=("malformed_response",),
        error_origin=ErrorOrigin.API,
    )


def test_a_page_that_only_the_error_names_is_partial():
    errors = [{"code": "internal_server_error", "message": "Page 2 : Internal Server Error"}]
    found = answered(DOCUMENT, kept(206, {"data": [PAGE], "error": errors}), reused=False)
    assert (found.outcome, found.pages, found.failed_pages, found.field_count) == (Outcome.PARTIAL, 2, (2,), 2)
    assert (found.passing, found.error_codes) == (False, ("internal_server_error",))


def test_pages_that_all_broke_and_that_version_0_1_kept_are_final():
    errors = [{"code": "internal_server_error", "message": "Page 1 : Internal Server Error"}]
    found = answered(DOCUMENT, kept(400, {"data": [{}], "error": errors}), reused=True)
    assert (found.outcome, found.pages, found.failed_pages) == (Outcome.DEAD_LETTER, 1, (1,))
    assert (found.passing, found.error_codes, found.error_origin) == (
        False,
        ("internal_server_error",),
        ErrorOrigin.API,
    )


@pytest.mark.parametrize(("answer", "verdict"), [(kept(402), "Fatal"), (kept(429), "Throttled")])
def test_what_is_never_kept_is_no_outcome(answer, verdict):
    with pytest.raises(ReconciliationError, match=f"reads as {verdict}"):
        answered(DOCUMENT, answer, reused=False)
