# SPDX-License-Identifier: Apache-2.0
"""What the table of design §5 does not say by itself; its rows are in test_failure_table.py."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import NO_ROWS, ApiResponse, CallFailure, FailureKind, KeptAnswer
from airflow_provider_aigen.core.service.classify import BODY_LIMIT_BYTES, classify, classify_kept
from airflow_provider_aigen.core.service.codes import contract_message
from airflow_provider_aigen.core.service.verdicts import (
    Extracted,
    Failed,
    Fatal,
    FatalReason,
    Refused,
    Throttled,
    Unknown,
    Verdict,
    is_paid,
)

PAGE = {"f": {"value": "v"}}


def response(status: int, *errors, data=None, retry_after=None) -> ApiResponse:
    listed = [{"object": "error", "code": error} if isinstance(error, str) else error for error in errors]
    body = json.dumps({"status": "error", "error": listed, "data": data}).encode()
    return ApiResponse(status, body, 0.1, retry_after)


def message(code: str, text: str) -> dict[str, str]:
    return {"code": code, "message": text}


SERVICE_FAILED = partial(Failed, error_codes=("service_error",))
OVER_THE_CAP = Failed(None, ("malformed_response",), billed=True, kind=FailureKind.TOO_LARGE)
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
        (402, FatalReason.NO_CREDIT),
        (404, FatalReason.NO_ENDPOINT),
    ],
)
def test_what_stops_the_run_names_its_status_whatever_the_body(status, reason):
    assert classify(ApiResponse(status, b"", 0.1)) == Fatal(status, reason)
    if status != 404:  # where it may be about the document
        assert classify(response(status, data=[PAGE])) == Fatal(status, reason)


@pytest.mark.parametrize(("status", "reason"), [(401, FatalReason.UNAUTHORIZED), (403, FatalReason.FORBIDDEN)])
@pytest.mark.parametrize(
    "body",
    [
        b'{"status": "error"}',
        b'{"status": "success", "error": null}',
        b'{"error": []}',
        b'\xef\xbb\xbf{"error": [null]}',
    ],
)
def test_the_endpoint_itself_refuses_the_key(status, reason, body):
    assert classify(ApiResponse(status, body, 0.1)) == Fatal(status, reason)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"status": 403}',
        b'{"message": "Forbidden"}',
        b'{"error": "x"}',
        b'{"error":',
        b"\xff",
    ],
)
def test_something_else_refuses_one_image_perhaps(status, body):
    assert classify(ApiResponse(status, body, 0.1)) == Failed(status, ("access_refused",), billed=False)


@pytest.mark.parametrize("code", ["insufficient_credit", "QuotaExceeded", "no_balance", "payment_required", "Billing"])
def test_a_code_that_speaks_of_credit_is_the_accounts_on_403_and_429(code):
    for status in (403, 429):
        no_credit = Fatal(status, FatalReason.NO_CREDIT)
        assert classify(response(status, "bad_request", code, retry_after="5")) == no_credit
        assert classify(ApiResponse(status, json.dumps({"error": {"code": code}}).encode(), 0.1)) == no_credit
    assert classify(response(401, code)) == Fatal(401, FatalReason.UNAUTHORIZED)
    assert isinstance(classify(response(418, code)), Refused)


def test_a_code_that_only_sounds_like_credit_is_not_the_accounts():
    for code in ("load_balancer_denied", "quotation_not_found", "no_credit_card"):
        assert classify(response(403, code)) == Fatal(403, FatalReason.FORBIDDEN)
        assert classify(response(429, code)) == Throttled(429)


@pytest.mark.parametrize("status", [200, 206, 400, 418])
def test_what_is_no_answer_keeps_its_status(status):
    assert classify(ApiResponse(status, b"<html>", 0.1)) == Failed(status, ("malformed_response",), billed=True)


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
def test_a_success_without_a_page_is_the_documents_or_where_all_pages_broke_a_failure(
    status, errors, data, codes, passing
):
    verdict = classify(response(status, *errors, data=data))
    assert isinstance(verdict, Failed if passing else Refused)
    assert (verdict.status, verdict.error_codes) == (status, codes)
    assert verdict.billed if isinstance(verdict, Failed) else verdict.known
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
        (400, ("no_id_card",), ("no_id_card",), True),
        (400, ("no_",), ("no_",), False),
        (422, ("no_id_card",), ("no_id_card",), False),
        (413, (), ("http_413",), True),
        (413, ("weird",), ("http_413", "weird"), True),
        (413, ("bad_request",), ("http_413", "bad_request"), True),
        (413, ("20000",), ("20000",), True),
        (413, ("request_entity_too_large",), ("request_entity_too_large",), True),
        (422, (), ("http_422",), False),
        (422, ("1003",), ("1003",), True),
        (200, ("weird",), ("weird",), False),
    ],
)
def test_codes_of_a_refusal(status, errors, codes, known):
    verdict = classify(response(status, *errors))
    assert isinstance(verdict, Refused)
    assert (verdict.error_codes, verdict.known) == (codes, known)


def test_repeated_codes_and_messages_are_named_once():
    verdict = classify(response(400, PAGE_2_BROKE, PAGE_2_BROKE, message("internal_server_error", "foreign text")))
    assert verdict == Failed(400, ("internal_server_error",), billed=True, messages=("Page 2 : Internal Server Error",))


@pytest.mark.parametrize("code", ["2001", "40001", "40000"])
@pytest.mark.parametrize("status", [206, 400])
def test_a_service_code_is_the_services_fault_whatever_the_status(status, code):
    assert classify(response(status, code, "bad_request", data=[{}])) == Failed(status, ("service_error",), billed=True)


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(
    "errors", [(), ("404",), ("not_found", "bad_request"), ("method_not_allowed",), ("bad_request",)]
)
def test_a_code_that_only_repeats_the_status_is_about_the_endpoint(status, errors):
    assert classify(response(status, *errors)) == Fatal(status, FatalReason.NO_ENDPOINT)


@pytest.mark.parametrize("status", [404, 405])
def test_a_page_of_a_gateway_is_about_the_endpoint(status):
    assert classify(ApiResponse(status, b"<html>", 0.1)) == Fatal(status, FatalReason.NO_ENDPOINT)


def test_a_gateways_422_is_about_the_document():
    assert classify(ApiResponse(422, b"", 0.1)) == Refused(422, ("http_422",), known=False)


UNDER_LIMIT = BODY_LIMIT_BYTES - 1
TOO_LONG = message("413", "Request Too Long")


@pytest.mark.parametrize(
    ("received", "codes"),
    [
        (ApiResponse(413, b"<html>", 0.1), ("http_413",)),
        (ApiResponse(413, b'{"message": "Request Too Long"}', 0.1), ("http_413",)),
        (response(413), ("http_413",)),
        (response(413, TOO_LONG), ("http_413", "413")),
        (response(413, "http_413", "bad_request", "weird"), ("http_413", "weird", "bad_request")),
    ],
)
def test_a_413_that_is_not_the_contracts_is_a_gateways_for_a_file_under_10_mb(received, codes):
    assert BODY_LIMIT_BYTES == 10_000_000
    assert classify(received, image_bytes=UNDER_LIMIT) == Failed(413, codes, billed=True)
    assert classify(received, image_bytes=BODY_LIMIT_BYTES) == Refused(413, codes)
    assert classify(received) == Refused(413, codes)  # kept, so it was over the limit


@pytest.mark.parametrize("code", ["20000", "20001", "request_entity_too_large", "1002"])
@pytest.mark.parametrize("image_bytes", [1, UNDER_LIMIT, BODY_LIMIT_BYTES])
def test_a_413_with_a_code_of_the_contract_is_the_documents_whatever_its_size(code, image_bytes):
    assert classify(response(413, code, "bad_request"), image_bytes=image_bytes) == Refused(413, (code, "bad_request"))
    assert classify(response(413, TOO_LONG, code), image_bytes=image_bytes) == Refused(413, ("413", code))


def test_a_gateways_413_keeps_the_contracts_sentences():
    too_large = message("weird", "The request image base64 is too large.")
    assert classify(response(413, too_large), image_bytes=1) == Failed(
        413, ("http_413", "weird"), billed=True, messages=("The request image base64 is too large.",)
    )
    assert classify(response(413, too_large), image_bytes=BODY_LIMIT_BYTES) == Refused(
        413, ("http_413", "weird"), ("The request image base64 is too large.",)
    )


@pytest.mark.parametrize(
    ("named", "data", "failed"),
    [
        (2, [PAGE], (2,)),
        (4, [PAGE, {}], (2, 4)),
        (1, [{}, PAGE], (1,)),
    ],
)
def test_a_page_that_an_error_names_and_data_leaves_out_has_failed(named, data, failed):
    for error in (
        message("internal_server_error", f"Page {named} : Internal Server Error"),
        message("400", f"Internal process error during extract image page: {named}"),
    ):
        verdict = classify(response(206, error, "partial_content", data=data))
        assert isinstance(verdict, Extracted)
        assert verdict.failed_pages == failed
        assert verdict.error_codes == (error["code"], "partial_content")


@pytest.mark.parametrize("text", ["Page 1 : Internal Server Error", "Page 0 : Internal Server Error", "Page 2", ""])
def test_an_error_that_names_no_page_outside_of_data_fails_none(text):
    verdict = classify(response(206, message("internal_server_error", text), data=[PAGE]))
    assert isinstance(verdict, Extracted)
    assert (verdict.error_codes, verdict.failed_pages) == ((), ())


@pytest.mark.parametrize(
    ("status", "retry_after", "verdict"),
    [
        (429, None, Throttled(429)),
        (429, "banana", Throttled(429)),
        (429, "0", Throttled(429, 0.0)),
        (429, "7", Throttled(429, 7.0)),
        (503, "7", Throttled(503, 7.0)),
        (503, "0", Throttled(503, 0.0)),
        (503, "", SERVICE_FAILED(503, billed=False)),
        (503, "banana", SERVICE_FAILED(503, billed=False)),
        (503, None, SERVICE_FAILED(503, billed=False)),
        (500, "5", SERVICE_FAILED(500, billed=True)),
        (500, None, SERVICE_FAILED(500, billed=True)),
        (408, None, SERVICE_FAILED(408, billed=True)),
        (999, None, SERVICE_FAILED(999, billed=True)),
        (199, None, SERVICE_FAILED(199, billed=True)),
        (100, None, SERVICE_FAILED(100, billed=True)),
        (0, None, SERVICE_FAILED(0, billed=True)),
    ],
)
def test_status_alone(status, retry_after, verdict):
    assert classify(ApiResponse(status, b'{"error": [{"code": "1001"}]}', 0.1, retry_after)) == verdict


@pytest.mark.parametrize(
    ("kind", "sent", "verdict"),
    [
        (FailureKind.CONNECT, False, SERVICE_FAILED(None, billed=False, kind=FailureKind.CONNECT)),
        (FailureKind.CONNECT, True, SERVICE_FAILED(None, billed=False, kind=FailureKind.CONNECT)),
        (FailureKind.TIMEOUT, True, SERVICE_FAILED(None, billed=True, kind=FailureKind.TIMEOUT)),
        (FailureKind.TIMEOUT, False, SERVICE_FAILED(None, billed=False, kind=FailureKind.TIMEOUT)),
        (FailureKind.RESET, True, SERVICE_FAILED(None, billed=True, kind=FailureKind.RESET)),
        (FailureKind.PROTOCOL, True, SERVICE_FAILED(None, billed=True, kind=FailureKind.PROTOCOL)),
        (FailureKind.TOO_LARGE, True, OVER_THE_CAP),
        (FailureKind.TLS, False, Fatal(None, FatalReason.TLS)),
    ],
)
def test_failures(kind, sent, verdict):
    assert classify(CallFailure(kind, sent, 0.1)) == verdict


def test_only_a_call_without_a_connection_never_left():
    unconnected = [kind for kind in FailureKind if kind is not FailureKind.TLS and not failed(kind).left]
    assert unconnected == [FailureKind.CONNECT]
    assert SERVICE_FAILED(500, billed=True).left


def failed(kind: FailureKind) -> Failed:
    verdict = classify(CallFailure(kind, False, 0.1))
    assert isinstance(verdict, Failed)
    return verdict


@pytest.mark.parametrize(
    ("verdict", "paid"),
    [
        (Extracted(NO_ROWS, 1), True),
        (Refused(400, ("1001",)), True),
        (Refused(400, ("weird",), known=False), True),
        (SERVICE_FAILED(500, billed=True), True),
        (SERVICE_FAILED(503, billed=False), False),
        (Throttled(429), False),
        (Fatal(401, FatalReason.UNAUTHORIZED), False),
        (Unknown(200, "`data` is one object, not a list of pages"), True),
    ],
)
def test_what_may_be_on_the_bill(verdict: Verdict, paid):
    assert is_paid(verdict) is paid


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
            assert len(verdict.rows) > 0
            assert {*verdict.rows.page_numbers}.isdisjoint(verdict.failed_pages)
            assert max(verdict.rows.page_numbers) <= verdict.pages
            assert list(verdict.failed_pages) == sorted(set(verdict.failed_pages))
            assert bool(verdict.error_codes) == bool(verdict.failed_pages)
        case Refused() | Failed():
            assert verdict.error_codes
            assert len(set(verdict.error_codes)) == len(verdict.error_codes)
            assert all(contract_message(text) == text for text in verdict.messages)
    if isinstance(verdict, (Extracted, Refused, Unknown)):  # what is kept
        assert classify_kept(kept(result)) == verdict


@given(STATUSES, st.binary(max_size=200) | ANSWERS, st.integers(0, 2 * BODY_LIMIT_BYTES))
def test_the_size_of_the_file_matters_for_a_413_only(status, body, image_bytes):
    result = ApiResponse(status, body, 0.1)
    verdict = classify(result, image_bytes=image_bytes)
    if status != 413:
        assert verdict == classify(result)
    else:
        assert isinstance(verdict, (Failed, Refused))
        of_service = isinstance(classify(result), Failed)
        assert image_bytes < BODY_LIMIT_BYTES or of_service or isinstance(verdict, Refused)


def test_a_retry_after_that_is_a_date_needs_the_time():
    result = ApiResponse(503, b"", 0.1, "Sun, 22 Nov 2026 12:02:00 GMT")
    assert classify(result, datetime(2026, 11, 22, 12, tzinfo=UTC)) == Throttled(503, 120.0)
    assert classify(result) == SERVICE_FAILED(503, billed=False)


@pytest.mark.parametrize("kind", [FailureKind.TOO_LARGE, FailureKind.RESET])
def test_a_failure_that_version_0_1_kept_has_the_verdict_that_it_would_have_now(kind):
    failure = CallFailure(kind, sent=True, latency_s=0.1)
    assert classify_kept(kept(failure)) == classify(failure)


def test_a_kept_answer_without_status_or_failure_is_malformed():
    unread = replace(kept(CallFailure(FailureKind.TOO_LARGE, sent=True, latency_s=0.1)), failure=None)
    assert classify_kept(unread) == Failed(None, ("malformed_response",), billed=True)
