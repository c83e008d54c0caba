# SPDX-License-Identifier: Apache-2.0
"""What the table of design §5 does not say by itself; its rows are in test_failure_table.py."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind, KeptAnswer
from airflow_provider_aigen.core.service.classify import (
    Extracted,
    Fatal,
    FatalReason,
    Malformed,
    Refused,
    ServiceFailed,
    Throttled,
    classify,
    classify_kept,
)
from airflow_provider_aigen.core.service.codes import contract_message

PAGE = {"f": {"value": "v"}}


def response(status: int, *errors, data=None, retry_after=None) -> ApiResponse:
    listed = [{"object": "error", "code": error} if isinstance(error, str) else error for error in errors]
    body = json.dumps({"status": "error", "error": listed, "data": data}).encode()
    return ApiResponse(status, body, 0.1, retry_after)


def message(code: str, text: str) -> dict[str, str]:
    return {"code": code, "message": text}


PAGE_2_BROKE = message("internal_server_error", "Page 2 : Internal Server Error")
NOT_A_BOOK = message("400", "Bad request")


def kept(result: ApiResponse | CallFailure) -> KeptAnswer:
    received = isinstance(result, ApiResponse)
    return KeptAnswer(
        content_sha256="0" * 64,
        document_type="vehicle-registration-book/v2",
        status=result.status if received else None,
        body=result.body if received else b"",
        received_at=datetime(2026, 11, 22, tzinfo=UTC),
        attempts=1,
        latency_s=0.1,
        failure=None if received else result.kind,
    )


def test_a_whole_answer_has_no_errors_even_where_the_wire_names_some():
    verdict = classify(response(206, "partial_content", data=[PAGE, PAGE]))
    assert isinstance(verdict, Extracted)
    assert (verdict.error_codes, verdict.messages, verdict.failed_pages) == ((), (), ())


def test_the_primary_code_is_specific_wherever_it_stands():
    verdict = classify(response(206, "partial_content", NOT_A_BOOK, "weird", "1001", data=[{}, PAGE, None]))
    assert isinstance(verdict, Extracted)
    assert verdict.error_codes == ("weird", "1001", "400", "partial_content")
    assert verdict.failed_pages == (1, 3)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (300, FatalReason.REDIRECT),
        (399, FatalReason.REDIRECT),
        (401, FatalReason.UNAUTHORIZED),
        (403, FatalReason.FORBIDDEN),
        (404, FatalReason.NO_ENDPOINT),
    ],
)
def test_what_stops_the_run_names_its_status_whatever_the_body(status, reason):
    assert classify(ApiResponse(status, b"", 0.1)) == Fatal(status, reason)
    if status != 404:  # where it may be about the document
        assert classify(response(status, data=[PAGE])) == Fatal(status, reason)


@pytest.mark.parametrize("status", [200, 206, 400, 418])
def test_what_is_no_answer_keeps_its_status(status):
    assert classify(ApiResponse(status, b"<html>", 0.1)) == Malformed(status)


def test_a_failed_page_that_nothing_explains_has_no_content():
    verdict = classify(response(200, data=[PAGE, {}]))
    assert isinstance(verdict, Extracted)
    assert (verdict.error_codes, verdict.failed_pages) == (("no_content",), (2,))


@pytest.mark.parametrize("status", [200, 206])
@pytest.mark.parametrize(
    ("errors", "data", "codes", "passing"),
    [
        ((), [], ("no_content",), False),
        ((), None, ("no_content",), False),
        ((), [{}, None], ("no_content",), False),
        (("partial_content",), [{}], ("no_content", "partial_content"), False),
        (("206",), [], ("no_content", "206"), False),
        (("partial_content", "1001"), [{}], ("1001", "partial_content"), False),
        ((NOT_A_BOOK, "206"), [{}], ("400", "206"), False),
        ((PAGE_2_BROKE, "partial_content"), [{}, {}], ("internal_server_error", "partial_content"), True),
        ((PAGE_2_BROKE, "1001"), [{}, {}], ("internal_server_error", "1001"), False),
        ((PAGE_2_BROKE, NOT_A_BOOK), [{}, {}], ("internal_server_error", "400"), False),
    ],
)
def test_a_success_without_a_page_is_refused(status, errors, data, codes, passing):
    verdict = classify(response(status, *errors, data=data))
    assert isinstance(verdict, Refused)
    assert (verdict.status, verdict.error_codes, verdict.perhaps_passing) == (status, codes, passing)
    assert verdict.known
    assert verdict.pages == (len(data) if data else None)
    assert verdict.failed_pages == tuple(range(1, len(data or ()) + 1))


@pytest.mark.parametrize(
    ("status", "errors", "codes", "known"),
    [
        (400, ("weird",), ("weird",), False),
        (400, (1004,), ("http_400",), False),  # no object: no code
        (400, ({"code": 1004},), ("1004",), False),
        (400, (), ("http_400",), False),
        (400, ("bad_request",), ("bad_request",), False),
        (400, (message("400", "something else"),), ("400",), False),
        (400, ("bad_request", NOT_A_BOOK), ("400", "bad_request"), True),
        (415, (), ("http_415",), False),
        (404, ("1001",), ("1001",), True),
        (404, ("weird",), ("weird",), False),
        (413, (), ("http_413",), True),
        (413, ("weird",), ("weird",), True),
        (422, (), ("http_422",), False),
        (422, ("1003",), ("1003",), True),
        (200, ("weird",), ("weird",), False),
    ],
)
def test_codes_of_a_refusal(status, errors, codes, known):
    verdict = classify(response(status, *errors))
    assert isinstance(verdict, Refused)
    assert (verdict.error_codes, verdict.known, verdict.perhaps_passing) == (codes, known, False)


def test_repeated_codes_and_messages_are_named_once():
    verdict = classify(response(400, PAGE_2_BROKE, PAGE_2_BROKE, message("internal_server_error", "foreign text")))
    assert verdict == Refused(
        400, ("internal_server_error",), ("Page 2 : Internal Server Error",), None, (), perhaps_passing=True
    )


@pytest.mark.parametrize("code", ["2001", "40001", "40000"])
@pytest.mark.parametrize("status", [206, 400])
def test_a_service_code_is_the_services_fault_whatever_the_status(status, code):
    assert classify(response(status, code, "bad_request", data=[{}])) == ServiceFailed(status, None, billed=True)


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(
    "errors", [(), ("404",), ("not_found", "bad_request"), ("method_not_allowed",), ("bad_request",)]
)
def test_a_code_that_only_repeats_the_status_is_about_the_endpoint(status, errors):
    assert classify(response(status, *errors)) == Fatal(status, FatalReason.NO_ENDPOINT)


@pytest.mark.parametrize("status", [404, 405])
def test_a_page_of_a_gateway_is_about_the_endpoint(status):
    assert classify(ApiResponse(status, b"<html>", 0.1)) == Fatal(status, FatalReason.NO_ENDPOINT)


def test_a_gateways_413_and_422_are_about_the_document():
    assert classify(ApiResponse(413, b"<html>", 0.1)) == Refused(413, ("http_413",))
    assert classify(ApiResponse(422, b"", 0.1)) == Refused(422, ("http_422",), known=False)


@pytest.mark.parametrize(
    ("status", "retry_after", "verdict"),
    [
        (429, None, Throttled(429)),
        (429, "banana", Throttled(429, "banana")),
        (503, "", Throttled(503, "")),
        (503, None, ServiceFailed(503, None, billed=False)),
        (500, "5", ServiceFailed(500, None, billed=True, retry_after="5")),
        (408, None, ServiceFailed(408, None, billed=True)),
        (999, None, ServiceFailed(999, None, billed=True)),
        (100, None, ServiceFailed(100, None, billed=True)),
        (0, None, ServiceFailed(0, None, billed=True)),
    ],
)
def test_status_alone(status, retry_after, verdict):
    assert classify(ApiResponse(status, b'{"error": [{"code": "1001"}]}', 0.1, retry_after)) == verdict


@pytest.mark.parametrize(
    ("kind", "sent", "verdict"),
    [
        (FailureKind.CONNECT, False, ServiceFailed(None, FailureKind.CONNECT, billed=False)),
        (FailureKind.CONNECT, True, ServiceFailed(None, FailureKind.CONNECT, billed=False)),
        (FailureKind.TIMEOUT, True, ServiceFailed(None, FailureKind.TIMEOUT, billed=True)),
        (FailureKind.TIMEOUT, False, ServiceFailed(None, FailureKind.TIMEOUT, billed=False)),
        (FailureKind.RESET, True, ServiceFailed(None, FailureKind.RESET, billed=True)),
        (FailureKind.PROTOCOL, True, ServiceFailed(None, FailureKind.PROTOCOL, billed=True)),
        (FailureKind.TOO_LARGE, True, Malformed()),
        (FailureKind.TLS, False, Fatal(None, FatalReason.TLS)),
    ],
)
def test_failures(kind, sent, verdict):
    assert classify(CallFailure(kind, sent, 0.1)) == verdict


def test_every_kind_of_failure_has_a_verdict():
    assert all(classify(CallFailure(kind, sent, 0.1)) for kind in FailureKind for sent in (True, False))


CODES = st.sampled_from(
    ["1001", "400", "206", "bad_request", "partial_content", "internal_server_error", "40001", "weird", None, 1001]
)
MESSAGES = st.sampled_from(["Bad request", "Page 1 : Internal Server Error", "นาย ทดสอบ", None, 7])
ERRORS = st.lists(st.none() | st.fixed_dictionaries({"code": CODES, "message": MESSAGES}), max_size=4)
DATA = st.none() | st.lists(st.none() | st.just({}) | st.just(PAGE), max_size=3)
ANSWERS = st.builds(lambda error, data: json.dumps({"error": error, "data": data}).encode(), ERRORS, DATA)
STATUSES = st.sampled_from([200, 206, 400, 401, 403, 404, 413, 422, 429, 500, 503]) | st.integers(-1, 1000)


@given(STATUSES, st.binary(max_size=200) | ANSWERS, st.none() | st.text(max_size=5))
def test_any_status_and_bytes_have_a_verdict_that_no_retelling_changes(status, body, retry_after):
    result = ApiResponse(status, body, 0.1, retry_after)
    verdict = classify(result)
    match verdict:
        case Extracted():
            assert 200 <= status < 300
            assert len(verdict.failed_pages) < len(verdict.answer.pages)
            assert bool(verdict.error_codes) == bool(verdict.failed_pages)
        case Refused():
            assert verdict.error_codes
            assert len(set(verdict.error_codes)) == len(verdict.error_codes)
            assert all(contract_message(text) == text for text in verdict.messages)
    if isinstance(verdict, (Extracted, Refused, Malformed)):  # what is kept
        assert classify_kept(kept(result)) == verdict


def test_a_kept_failure_has_the_verdict_that_it_had():
    failure = CallFailure(FailureKind.TOO_LARGE, sent=True, latency_s=0.1)
    assert classify_kept(kept(failure)) == classify(failure) == Malformed()


def test_a_failure_that_should_never_have_been_kept_shows():
    reset = CallFailure(FailureKind.RESET, sent=True, latency_s=0.1)
    assert classify_kept(kept(reset)) == ServiceFailed(None, FailureKind.RESET, billed=True)


def test_a_kept_answer_without_status_or_failure_is_malformed():
    unread = replace(kept(CallFailure(FailureKind.TOO_LARGE, sent=True, latency_s=0.1)), failure=None)
    assert classify_kept(unread) == Malformed()
