# SPDX-License-Identifier: Apache-2.0
"""Every row of design §5's table that is about a call: what the endpoint gives again and again, and what it gets.

The rows about S3 are the adapter's and the pipeline's.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from airflow_provider_aigen.core.config import RetryConfig
from airflow_provider_aigen.core.errors import AccountError, AuthenticationError, ServiceUnavailableError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.core.service.classify import Extracted, Malformed, Refused, classify
from airflow_provider_aigen.core.service.retry import Abort, Attempts, Deferral, Final, Retry, decide

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PAGE = {"registration_number_car": {"value": "1กข 2345", "confidence": 0.9}}


def answer(status: int, code: str | int | None = None, message: str | None = None, *, data=(), retry_after=None):
    errors = [] if code is None else [{"object": "error", "code": code, "message": message}]
    body = json.dumps({"status": "error", "error": errors, "data": list(data)}).encode()
    return ApiResponse(status, body, 0.1, retry_after)


def raw(status: int, body: bytes, retry_after: str | None = None) -> ApiResponse:
    return ApiResponse(status, body, 0.1, retry_after)


def failure(kind: FailureKind, *, sent: bool = True) -> CallFailure:
    return CallFailure(kind, sent, 0.1)


@dataclass
class Story:
    """A document whose every call gives the same."""

    calls: int
    billed: int
    pauses: list[float]
    end: object


def tell(result: ApiResponse | CallFailure, *, billed_left: int = 10) -> Story:
    attempts, billed, pauses, elapsed_s = Attempts(), 0, [], 0.0
    while True:
        decision = decide(
            classify(result),
            attempts,
            billed_left=billed_left - billed,
            elapsed_s=elapsed_s,
            now=NOW,
            jitter=0.5,
            config=RetryConfig(),
        )
        if isinstance(decision, Deferral) and decision.retry is not None and decision.retry.billed:
            decision = decision.retry  # as if the service were well again
        attempts = attempts.after(decision)
        if not isinstance(decision, Retry):
            return Story(attempts.calls, billed, pauses, decision)
        billed += decision.billed
        elapsed_s += decision.delay_s + 0.1
        if decision.pause_everyone:
            pauses.append(decision.delay_s)


@pytest.mark.parametrize(
    ("result", "failed_pages"),
    [
        (answer(200, data=[PAGE]), ()),
        (answer(206, "partial_content", data=[{}, PAGE]), (1,)),
        (answer(206, "206", data=[PAGE, None]), (2,)),
        (answer(206, "internal_server_error", "Page 2 : Internal Server Error", data=[PAGE, {}]), (2,)),
    ],
)
def test_200_or_206_with_a_page_gives_rows_and_names_the_failed_pages(result, failed_pages):
    verdict = classify(result)
    assert isinstance(verdict, Extracted)
    assert verdict.failed_pages == failed_pages
    assert tell(result) == Story(1, 0, [], Final())


@pytest.mark.parametrize(
    "result",
    [
        answer(200),
        answer(206),
        answer(200, data=[{}]),
        answer(206, "partial_content", data=[{}, None]),
        answer(206, "206", data=[]),
        raw(200, b"{}"),
    ],
)
def test_200_or_206_with_no_page_at_all_is_no_content(result):
    verdict = classify(result)
    assert isinstance(verdict, Refused)
    assert verdict.error_codes[0] == "no_content"
    assert tell(result) == Story(1, 0, [], Final())


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (answer(400, "1001"), "1001"),
        (answer(400, 1001), "1001"),
        (answer(400, "1002"), "1002"),
        (answer(400, "1003"), "1003"),
        (answer(400, "can_not_find_vehicle_registration_on_image"), "can_not_find_vehicle_registration_on_image"),
        (answer(400, "400", "Bad request", data=[{}]), "400"),
        (answer(413, "20000"), "20000"),
        (raw(413, b"<html>Request Entity Too Large</html>"), "http_413"),
        (answer(422, "20002"), "20002"),
    ],
)
def test_1001_1002_1003_not_found_413_422_are_dead_letters_at_once(result, code):
    verdict = classify(result)
    assert isinstance(verdict, Refused)
    assert (verdict.error_codes, verdict.known) == ((code,), True)
    assert tell(result) == Story(1, 0, [], Final())


PAGE_ERRORS = [
    answer(400, "internal_server_error", "Page 1 : Internal Server Error", data=[{}]),
    answer(206, "internal_server_error", "Page 1 : Internal Server Error", data=[{}]),
    answer(400, "400", "Internal process error during extract image page: 1", data=[{}]),
    answer(206, "400", "Internal process error during extract image page: 1", data=[{}]),
]


@pytest.mark.parametrize("result", PAGE_ERRORS)
def test_a_page_error_on_400_or_every_page_is_retried_within_the_billed_budget_then_a_dead_letter(result):
    verdict = classify(result)
    assert isinstance(verdict, Refused)
    assert verdict.perhaps_passing
    assert tell(result) == Story(2, 1, [], Final())
    assert tell(result, billed_left=0) == Story(1, 0, [], Final())


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (answer(400, "weird"), "weird"),
        (answer(400, "400", "a sentence of its own"), "400"),
        (answer(418, 77), "77"),
        (answer(409), "http_409"),
    ],
)
def test_an_unknown_code_on_a_4xx_is_a_dead_letter_with_that_code_and_counted(result, code):
    verdict = classify(result)
    assert isinstance(verdict, Refused)
    assert (verdict.error_codes, verdict.known) == ((code,), False)
    assert tell(result) == Story(1, 0, [], Final())


@pytest.mark.parametrize(
    "result",
    [
        raw(200, b"<html>welcome</html>"),
        raw(200, b""),
        raw(206, b"[]"),
        raw(200, b'{"data": "text"}'),
        raw(200, b'{"data":' + b"[" * 100_000),
        raw(400, b"Bad Request"),
        failure(FailureKind.TOO_LARGE),
    ],
)
def test_not_json_not_an_object_too_deep_too_large_is_retried_once_then_malformed(result):
    assert isinstance(classify(result), Malformed)
    assert tell(result) == Story(2, 1, [], Final())
    assert tell(result, billed_left=0) == Story(1, 0, [], Final())


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (raw(401, b"{}"), ["401", "password"]),
        (answer(401, "1001"), ["401", "password"]),
        (raw(403, b""), ["403", "document_type"]),
        (raw(404, b"<html>"), ["404", "host", "document_type"]),
        (raw(405, b"{}"), ["405", "host", "document_type"]),
        (raw(300, b""), ["300", "host"]),
        (raw(301, b""), ["301", "host"]),
        (raw(302, b'{"data": []}'), ["302", "host"]),
        (failure(FailureKind.TLS, sent=False), ["certificate", "host"]),
    ],
)
def test_401_403_404_405_tls_and_redirects_stop_without_a_retry(result, words):
    story = tell(result)
    assert (story.calls, story.billed) == (1, 0)
    assert isinstance(story.end, Abort)
    assert isinstance(story.end.error, AuthenticationError)
    assert all(word in str(story.end.error) for word in words)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("60", 60.0), ("Sun, 22 Nov 2026 12:02:00 GMT", 120.0), ("899", 899.0)]
)
def test_429_and_503_with_retry_after_pause_every_caller(status, retry_after, seconds):
    result = answer(status, "40000", retry_after=retry_after)
    decision = decide(
        classify(result), Attempts(), billed_left=0, elapsed_s=0.0, now=NOW, jitter=1.0, config=RetryConfig()
    )
    assert decision == Retry(seconds, billed=False, pause_everyone=True, asked=True)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_beyond_the_documents_deadline_stops(status):
    story = tell(answer(status, retry_after="901"))
    assert story.calls == 1
    assert isinstance(story.end, Abort)
    assert isinstance(story.end.error, ServiceUnavailableError)
    assert story.end.error.retry_after_s == 901.0


@pytest.mark.parametrize("retry_after", [None, "banana", "-1", "99999"])
def test_429_without_retry_after_gets_three_tries_with_growing_pauses_then_stops(retry_after):
    story = tell(answer(429, retry_after=retry_after))
    assert (story.calls, story.billed) == (4, 0)
    assert story.pauses == sorted(set(story.pauses))
    assert len(story.pauses) == 3
    assert isinstance(story.end, Abort)
    assert isinstance(story.end.error, AccountError)
    assert "credit" in str(story.end.error)
    assert "requests_per_second" in str(story.end.error)


@pytest.mark.parametrize(
    "result",
    [
        raw(408, b""),
        answer(500, "2001"),
        answer(500, "40001"),
        raw(502, b"<html>"),
        raw(504, b""),
        failure(FailureKind.RESET),
        failure(FailureKind.TIMEOUT),
        failure(FailureKind.PROTOCOL),
    ],
)
def test_408_5xx_reset_and_read_timeout_are_retried_once_for_they_may_be_billed_then_given_up(result):
    assert tell(result) == Story(2, 1, [], Deferral(None))
    assert tell(result, billed_left=0) == Story(1, 0, [], Deferral(None))


@pytest.mark.parametrize(
    "result", [answer(503, "40000"), raw(503, b"", "banana"), failure(FailureKind.RESET, sent=False)]
)
def test_what_was_surely_not_processed_is_retried_freely_then_given_up(result):
    assert tell(result, billed_left=0) == Story(6, 0, [], Deferral(Retry(0.0, billed=False)))


def test_a_connect_failure_is_retried_freely_and_stops_when_it_persists():
    story = tell(failure(FailureKind.CONNECT, sent=False), billed_left=0)
    assert (story.calls, story.billed) == (6, 0)
    assert isinstance(story.end, Abort)
    assert isinstance(story.end.error, ServiceUnavailableError)
