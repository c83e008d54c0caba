# SPDX-License-Identifier: Apache-2.0
"""Every row of the failure table that is about a call: what the endpoint gives again and again, and what comes of it.

Each is played twice: one document among others that are answered, and every document of a run. The rows about S3 are
the adapter's and the pipeline's.
"""

from __future__ import annotations

import json

import pytest

from airflow_provider_aigen.core.errors import (
    AccountError,
    AuthenticationError,
    ContractError,
    ServiceUnavailableError,
)
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.core.service.verdicts import Extracted, Refused
from tests.core.service.trial import Call, End, Trial

PAGE = {"registration_number_car": {"value": "1กข 2345", "confidence": 0.9}}
OTHERS = [f"good-{number}" for number in range(20)]


def answer(status: int, code: str | int | None = None, message: str | None = None, *, data=(), retry_after=None):
    errors = [] if code is None else [{"object": "error", "code": code, "message": message}]
    body = json.dumps({"status": "error" if errors else "success", "error": errors, "data": list(data)}).encode()
    return ApiResponse(status, body, 0.1, retry_after)


def raw(status: int, body: bytes, retry_after: str | None = None) -> ApiResponse:
    return ApiResponse(status, body, 0.1, retry_after)


def failure(kind: FailureKind, *, sent: bool = True) -> CallFailure:
    return CallFailure(kind, sent, 0.1)


GOOD = answer(200, data=[PAGE])
HTML = b"<html>no</html>"


def one_among_others(result, *, size: int = 1000, good: int = 1000, position: int = 10) -> End:
    """A document whose every call gives ``result``, among 20 that are answered."""
    documents = OTHERS.copy()
    documents.insert(position, "bad")

    def script(call: Call):
        return result if call.document_id == "bad" else GOOD

    end = Trial(documents, script, sizes=lambda name: size if name == "bad" else good).run()
    if end.error is None:
        assert not end.outage
        assert {name for name in end.kept if name != "bad"} == set(OTHERS)
        assert all(end.calls[name] == 1 for name in OTHERS)
    return end


def all_of(result, *, documents: int = 100, size: int = 1000, max_in_flight: int = 4) -> End:
    """A run whose every call gives ``result``."""
    return Trial(map(str, range(documents)), lambda _: result, sizes=lambda _: size, max_in_flight=max_in_flight).run()


# --- the document's own -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "failed_pages"),
    [
        (answer(200, data=[PAGE]), ()),
        (answer(206, "partial_content", data=[{}, PAGE]), (1,)),
        (answer(206, "206", data=[PAGE, None]), (2,)),
        (answer(206, "internal_server_error", "Page 2 : Internal Server Error", data=[PAGE, {}]), (2,)),
        (answer(206, "internal_server_error", "Page 2 : Internal Server Error", data=[PAGE]), (2,)),
        (answer(206, "400", "Internal process error during extract image page: 3", data=[PAGE]), (3,)),
    ],
)
def test_200_or_206_with_a_page_gives_rows_and_names_the_failed_pages(result, failed_pages):
    verdict = one_among_others(result).kept["bad"]
    assert isinstance(verdict, Extracted)
    assert verdict.failed_pages == failed_pages
    assert all_of(result).all_calls == 100


@pytest.mark.parametrize(
    "result",
    [
        answer(200),
        answer(206),
        answer(200, data=[{}]),
        answer(206, "partial_content", data=[{}, None]),
        answer(206, "206", data=[]),
        raw(200, b'{"data": null}'),
        raw(200, b'{"status": "success"}'),
    ],
)
def test_200_or_206_with_no_page_at_all_is_no_content(result):
    end = one_among_others(result)
    assert end.kept["bad"].error_codes[0] == "no_content"
    assert end.calls["bad"] == 1


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (answer(400, "1001"), "1001"),
        (answer(400, 1001), "1001"),
        (answer(400, "1002"), "1002"),
        (answer(400, "1003"), "1003"),
        (answer(400, "can_not_find_vehicle_registration_on_image"), "can_not_find_vehicle_registration_on_image"),
        (answer(400, "400", "Bad request", data=[{}]), "400"),
        (answer(400, "no_id_card"), "no_id_card"),
        (answer(413, "20000"), "20000"),
        (answer(422, "20002"), "20002"),
    ],
)
def test_1001_1002_1003_not_found_413_422_are_dead_letters_at_once(result, code):
    for end in (one_among_others(result), all_of(result)):
        refused = [verdict for verdict in end.kept.values() if isinstance(verdict, Refused)]
        assert {(verdict.error_codes, verdict.known) for verdict in refused} == {((code,), True)}
        assert end.all_calls == len(end.kept)
        assert end.error is None


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (answer(400, "weird"), "weird"),
        (answer(400, "400", "a sentence of its own"), "400"),
        (answer(418, 77), "77"),
        (answer(409), "http_409"),
        (raw(422, HTML), "http_422"),
        (answer(404, "no_id_card"), "no_id_card"),
    ],
)
def test_an_unknown_code_is_a_dead_letter_with_that_code_and_20_in_a_row_stop(result, code):
    end = one_among_others(result)
    assert isinstance(end.kept["bad"], Refused)
    assert (end.kept["bad"].error_codes, end.kept["bad"].known) == ((code,), False)
    assert end.calls["bad"] == 1
    end = all_of(result)
    assert isinstance(end.error, ContractError)
    assert "upgrade the provider" in str(end.error)
    assert (end.all_calls, len(end.kept)) == (23, 20)  # three were in flight


# --- passing ------------------------------------------------------------------------------------------------------

PASSING = {
    "408": (raw(408, b""), "service_error"),
    "500 2001": (answer(500, "2001"), "service_error"),
    "500 40001": (answer(500, "40001"), "service_error"),
    "500 with a code of the document": (answer(500, "1001"), "service_error"),
    "500 with Retry-After": (raw(500, b"", "5"), "service_error"),
    "502 HTML": (raw(502, HTML), "service_error"),
    "503": (answer(503, "40000"), "service_error"),
    "503 with a senseless Retry-After": (raw(503, b"", "banana"), "service_error"),
    "504": (raw(504, b""), "service_error"),
    "999": (raw(999, b""), "service_error"),
    "400 2001": (answer(400, "2001"), "service_error"),
    "reset": (failure(FailureKind.RESET), "service_error"),
    "reset before it was sent": (failure(FailureKind.RESET, sent=False), "service_error"),
    "timeout": (failure(FailureKind.TIMEOUT), "service_error"),
    "not HTTP": (failure(FailureKind.PROTOCOL), "service_error"),
    "too large": (failure(FailureKind.TOO_LARGE), "malformed_response"),
    "200 HTML": (raw(200, HTML), "malformed_response"),
    "200 empty": (raw(200, b""), "malformed_response"),
    "206 not an object": (raw(206, b"[]"), "malformed_response"),
    "200 data is a text": (raw(200, b'{"data": "text"}'), "malformed_response"),
    "200 JSON of something else": (raw(200, b'{"message": "maintenance"}'), "malformed_response"),
    "200 too deep": (raw(200, b'{"data":' + b"[" * 100_000), "malformed_response"),
    "400 text": (raw(400, b"Bad Request"), "malformed_response"),
    "410 HTML": (raw(410, HTML), "malformed_response"),
    "400 page error": (
        answer(400, "internal_server_error", "Page 1 : Internal Server Error", data=[{}]),
        "internal_server_error",
    ),
    "400 page error without a page": (answer(400, "internal_server_error"), "internal_server_error"),
    "206 page error": (
        answer(206, "internal_server_error", "Page 1 : Internal Server Error", data=[{}]),
        "internal_server_error",
    ),
    "400 page error, later": (
        answer(400, "400", "Internal process error during extract image page: 1", data=[{}]),
        "400",
    ),
    "206 page error, later": (
        answer(206, "400", "Internal process error during extract image page: 1", data=[{}, {}]),
        "400",
    ),
}
NOT_BILLED = {"503", "503 with a senseless Retry-After", "reset before it was sent"}


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("position", [0, 10, 19, 20])
def test_a_passing_failure_of_one_document_is_called_three_times_then_routed(name, position):
    result, code = PASSING[name]
    end = one_among_others(result, position=position)
    assert end.error is None
    assert end.routed.keys() == {"bad"}
    assert end.routed["bad"].error_codes[0] == code
    assert end.routed["bad"].billed == (name not in NOT_BILLED)
    assert end.calls["bad"] == 3
    assert end.repeated == (0 if name in NOT_BILLED else 2)
    assert end.ended_at < 12.0


@pytest.mark.parametrize("name", PASSING)
def test_a_passing_failure_of_every_document_is_an_outage(name):
    """Nothing is kept or routed, and the breaker ends the try."""
    end = all_of(PASSING[name][0])
    assert isinstance(end.error, ServiceUnavailableError)
    assert not end.kept
    assert not end.routed
    assert end.all_calls <= 17
    assert 200.0 < end.ended_at < 240.0


@pytest.mark.parametrize("name", PASSING)
@pytest.mark.parametrize("documents", [1, 2, 5, 9])
def test_a_passing_failure_of_a_few_documents_that_are_all_is_an_outage(name, documents):
    end = all_of(PASSING[name][0], documents=documents)
    assert end.outage == set(map(str, range(documents)))
    assert not end.routed
    assert end.all_calls == documents + 2  # single probes, after 2 s and 8 s
    assert 10.0 < end.ended_at < 12.0


def test_no_connection_is_tried_again_at_once_then_it_is_a_passing_failure():
    end = one_among_others(failure(FailureKind.CONNECT, sent=False))
    assert end.error is None
    assert end.routed.keys() == {"bad"}
    assert end.routed["bad"].error_codes == ("service_error",)
    assert (end.calls["bad"], end.repeated) == (18, 0)


@pytest.mark.parametrize("documents", [1, 9, 100])
def test_no_connection_for_anybody_says_so(documents):
    end = all_of(failure(FailureKind.CONNECT, sent=False), documents=documents)
    assert isinstance(end.error, ServiceUnavailableError)
    assert "cannot be reached" in str(end.error)
    assert not end.routed
    assert end.all_calls <= 3 * 6 * documents


# --- access, account, pace ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (answer(401, "1001"), ["401", "password"]),
        (raw(401, b'{"status": "error"}'), ["401", "password"]),
        (answer(403, "forbidden"), ["403", "document_type"]),
        (raw(403, b'{"error": []}'), ["403", "document_type"]),
        (raw(404, HTML), ["404", "host", "document_type"]),
        (answer(404), ["404", "host", "document_type"]),
        (raw(405, b"{}"), ["405", "host", "document_type"]),
        (raw(300, b""), ["300", "host"]),
        (raw(301, b""), ["301", "host"]),
        (raw(302, b'{"data": []}'), ["302", "host"]),
        (failure(FailureKind.TLS, sent=False), ["certificate", "host"]),
    ],
)
def test_401_and_403_in_the_contracts_json_404_405_tls_and_redirects_stop_without_a_retry(result, words):
    for end in (one_among_others(result), all_of(result, max_in_flight=1)):
        assert isinstance(end.error, AuthenticationError)
        assert all(word in str(end.error) for word in words)
        assert not end.routed
        assert end.ended_at < 5.0
    assert end.all_calls == 1


@pytest.mark.parametrize(
    "result", [raw(401, HTML), raw(403, HTML), raw(403, b""), raw(403, b'{"message": "Forbidden"}'), raw(401, b"{}")]
)
def test_401_or_403_of_something_else_is_the_images_unless_it_is_for_all(result):
    end = one_among_others(result)
    assert end.error is None
    assert end.routed["bad"].error_codes == ("access_refused",)
    assert (end.calls["bad"], end.repeated) == (3, 0)
    for documents in (1, 2, 9, 10, 11, 100):
        end = all_of(result, documents=documents)
        assert isinstance(end.error, AuthenticationError)
        assert "401 or 403" in str(end.error)
        assert not end.routed
        assert end.all_calls <= 13
        assert end.ended_at < 12.0


@pytest.mark.parametrize(
    "result",
    [
        raw(402, b""),
        answer(402, "insufficient_credit"),
        raw(402, HTML),
        answer(403, "quota_exceeded"),
        answer(429, "insufficient_credit"),
        answer(429, "CREDIT_EXHAUSTED", retry_after="5"),
        raw(403, b'{"error": {"code": "no_balance"}}'),
    ],
)
def test_402_or_a_code_that_speaks_of_credit_is_the_accounts_at_once(result):
    for end in (one_among_others(result), all_of(result)):
        assert isinstance(end.error, AccountError)
        assert "credit or quota" in str(end.error)
        assert not end.routed
        assert not any(isinstance(verdict, Refused) for verdict in end.kept.values())
        assert end.ended_at < 2.0


@pytest.mark.parametrize("max_in_flight", [1, 4, 64])
@pytest.mark.parametrize("result", [raw(429, b""), answer(429), raw(429, HTML, "banana"), raw(429, b"", "99999")])
def test_429_without_retry_after_gets_two_pauses_then_it_is_the_accounts(result, max_in_flight):
    end = all_of(result, max_in_flight=max_in_flight)
    assert isinstance(end.error, AccountError)
    assert "after 2 pauses" in str(end.error)
    assert "credit" in str(end.error)
    assert "requests_per_second" in str(end.error)
    assert end.ended_at == pytest.approx(10.3)
    assert end.all_calls <= 3 * max_in_flight


def test_429_without_retry_after_from_some_moment_on():
    trial = Trial(map(str, range(200)), lambda call: GOOD if call.at < 1.0 else raw(429, b""))
    end = trial.run()
    assert isinstance(end.error, AccountError)
    assert end.ended_at < 30.0
    assert not end.routed


def test_429_without_retry_after_that_a_success_follows_is_forgotten():
    """Every tenth call of a run is throttled: the pauses are never three without a success between them."""
    numbers = iter(range(10_000))
    end = Trial(map(str, range(200)), lambda _: raw(429, b"") if next(numbers) % 10 == 9 else GOOD).run()
    assert end.error is None
    assert len(end.kept) == 200


@pytest.mark.parametrize("status", [429, 503])
def test_429_and_503_with_retry_after_pause_every_caller(status):
    end = Trial(
        map(str, range(40)), lambda call: answer(status, "40000", retry_after="60") if call.at < 1.0 else GOOD
    ).run()
    assert end.error is None
    assert len(end.kept) == 40
    assert end.all_calls == 44
    assert 60.0 < end.ended_at < 62.0


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_beyond_the_documents_deadline_ends_the_run(status):
    end = all_of(answer(status, retry_after="901"), max_in_flight=1)
    assert isinstance(end.error, ServiceUnavailableError)
    assert end.error.retry_after_s == 901.0
    assert end.all_calls == 1


# --- 413 ----------------------------------------------------------------------------------------------------------

GATEWAYS = [
    raw(413, HTML),
    raw(413, b""),
    answer(413),
    answer(413, "request_too_long"),
    raw(413, b'{"error": {"code": 413}}'),
]


@pytest.mark.parametrize("result", GATEWAYS)
def test_a_gateways_413_for_one_document_under_10_mb_is_passing(result):
    end = one_among_others(result, size=9_999_999)
    assert end.error is None
    assert end.routed["bad"].error_codes[0] == "http_413"
    assert end.calls["bad"] == 3


@pytest.mark.parametrize("result", GATEWAYS)
def test_a_gateways_413_over_10_mb_is_the_documents(result):
    end = one_among_others(result, size=10_000_000)
    assert isinstance(end.kept["bad"], Refused)
    assert end.kept["bad"].error_codes[0] == "http_413"
    assert end.calls["bad"] == 1


@pytest.mark.parametrize("size", [1000, 9_999_999, 10_000_000])
@pytest.mark.parametrize("code", ["20000", "request_entity_too_large"])
def test_413_with_the_contracts_code_is_the_documents_whatever_its_size(size, code):
    end = one_among_others(answer(413, code), size=size)
    assert isinstance(end.kept["bad"], Refused)
    assert end.kept["bad"].error_codes == (code,)
    assert end.calls["bad"] == 1


@pytest.mark.parametrize("result", GATEWAYS)
def test_a_gateways_413_to_every_body_over_1_mb_stops_with_the_sizes(result):
    """Every second image is large; one is over the API's own limit, which proves nothing."""
    sizes = {str(number): 700_000 if number % 2 else 1_000_001 + number for number in range(40)} | {"0": 10_000_000}
    end = Trial(
        sizes, lambda call: GOOD if sizes[call.document_id] <= 1_000_000 else result, sizes=sizes.__getitem__
    ).run()
    assert isinstance(end.error, ContractError)
    assert "5 images of 1,000,003 to 1,000,011 bytes" in str(end.error)
    assert "largest image that was answered had 700,000 bytes" in str(end.error)
    assert not end.routed


def test_five_bodies_that_got_413_though_a_larger_one_was_answered_are_their_own_matter():
    sizes = dict.fromkeys(OTHERS, 5000000) | {f"bad-{number}": 2_000_000 for number in range(5)}
    end = Trial(
        sizes, lambda call: raw(413, HTML) if call.document_id.startswith("bad") else GOOD, sizes=sizes.__getitem__
    ).run()
    assert end.error is None
    assert len(end.routed) == 5
