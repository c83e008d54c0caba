# SPDX-License-Identifier: Apache-2.0
"""The table of design §5, a row a kind: what the endpoint gives again and again, what it means, and what it gets.

The rows about S3 are the adapter's and the pipeline's. ``tests/acceptance/test_failure_table.py`` has the same rows end
to end; what the table does not say by itself is in ``service/test_classify.py`` and ``service/test_retry.py``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from airflow_provider_aigen.core.config import RetryConfig
from airflow_provider_aigen.core.errors import AccountError, AuthenticationError, ServiceUnavailableError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.core.service.classify import (
    Extracted,
    Fatal,
    FatalReason,
    Malformed,
    Refused,
    ServiceFailed,
    Throttled,
    Verdict,
    classify,
)
from airflow_provider_aigen.core.service.retry import Abort, Attempts, Deferral, Final, Retry, RetryDecision, decide

Result = ApiResponse | CallFailure

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PAGE = {"registration_number_car": {"value": "1กข 2345", "confidence": 0.9}}
PAGE_2_BROKE = {"code": "internal_server_error", "message": "Page 2 : Internal Server Error"}
PAGE_1_BROKE_LATER = {"code": "400", "message": "Internal process error during extract image page: 1"}
NOT_A_BOOK = "can_not_find_vehicle_registration_on_image"
NOT_A_BOOK_LATER = {"code": "400", "message": "Bad request"}


def answer(status: int, *errors: Any, data: Any = None, retry_after: str | None = None) -> ApiResponse:
    listed = [{"object": "error", "code": error} if isinstance(error, str) else error for error in errors]
    body = json.dumps({"status": "error", "error": listed, "data": data}).encode()
    return ApiResponse(status, body, 0.1, retry_after)


def raw(status: int, body: bytes = b"", retry_after: str | None = None) -> ApiResponse:
    return ApiResponse(status, body, 0.1, retry_after)


def failure(kind: FailureKind, *, sent: bool = True) -> CallFailure:
    return CallFailure(kind, sent, 0.1)


@dataclass
class Story:
    """A document whose every call gives the same; ``billed`` of them are repeated though they may be on the bill."""

    calls: int
    billed: int
    end: RetryDecision


def tell(result: Result, *, billed_left: int = 10) -> tuple[Story, list[float]]:
    """And the pauses for everybody on the way."""
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
            return Story(attempts.calls, billed, decision), pauses
        billed += decision.billed
        elapsed_s += decision.delay_s + 0.1
        if decision.pause_everyone:
            pauses.append(decision.delay_s)


# --- 200, or 206 with a page: rows; failed pages go to a dead letter that names them ----------------------------------


@pytest.mark.parametrize(
    ("result", "codes", "failed_pages"),
    [
        (answer(200, data=[PAGE]), (), ()),
        (answer(206, "partial_content", data=[PAGE, PAGE]), (), ()),  # whole, though the wire names an error
        (answer(206, "partial_content", data=[{}, PAGE]), ("partial_content",), (1,)),
        (answer(206, "206", data=[PAGE, None]), ("206",), (2,)),
        (answer(206, PAGE_2_BROKE, data=[PAGE, {}]), ("internal_server_error",), (2,)),
        (answer(200, data=[PAGE, {}]), ("no_content",), (2,)),  # nothing explains it
        # The code that says most is the first, wherever it stands.
        (
            answer(206, "partial_content", NOT_A_BOOK_LATER, "weird", "1001", data=[{}, PAGE, None]),
            ("weird", "1001", "400", "partial_content"),
            (1, 3),
        ),
    ],
)
def test_200_or_206_with_a_page_gives_rows_and_names_the_failed_pages(result, codes, failed_pages):
    verdict = classify(result)
    assert isinstance(verdict, Extracted)
    assert (verdict.error_codes, verdict.failed_pages) == (codes, failed_pages)
    assert codes or not verdict.messages
    assert tell(result) == (Story(1, 0, Final()), [])


# --- the end of a document --------------------------------------------------------------------------------------------


def refused(status: int, *codes: str, pages: int | None = None, **facts: bool) -> Refused:
    failed = tuple(range(1, (pages or 0) + 1))
    return Refused(status, codes, pages=pages, failed_pages=failed, **facts)  # type: ignore[arg-type]


def failed(status: int | None, kind: FailureKind | None = None, *, billed: bool = True, **more: Any) -> ServiceFailed:
    return ServiceFailed(status, kind, billed=billed, **more)


NO_PAGE = [
    row
    for status in (200, 206)
    for row in (
        (answer(status), refused(status, "no_content")),
        (answer(status, data=[]), refused(status, "no_content")),
        (answer(status, data=[{}, None]), refused(status, "no_content", pages=2)),
        (answer(status, "partial_content", data=[{}]), refused(status, "no_content", "partial_content", pages=1)),
        (answer(status, "206", data=[]), refused(status, "no_content", "206")),
        (answer(status, "partial_content", "1001", data=[{}]), refused(status, "1001", "partial_content", pages=1)),
        (answer(status, NOT_A_BOOK_LATER, "206", data=[{}]), refused(status, "400", "206", pages=1)),
        (answer(status, PAGE_2_BROKE, "1001", data=[{}]), refused(status, "internal_server_error", "1001", pages=1)),
        (
            answer(status, PAGE_2_BROKE, NOT_A_BOOK_LATER, data=[{}, {}]),
            refused(status, "internal_server_error", "400", pages=2),
        ),
        (answer(status, "weird"), refused(status, "weird", known=False)),
    )
]
KNOWN = [
    (answer(400, "1001"), refused(400, "1001")),
    (answer(400, {"code": 1001}), refused(400, "1001")),
    (answer(400, "1002"), refused(400, "1002")),
    (answer(400, "1003"), refused(400, "1003")),
    (answer(400, NOT_A_BOOK), refused(400, NOT_A_BOOK)),
    (answer(400, NOT_A_BOOK_LATER, data=[{}]), refused(400, "400", pages=1)),
    (answer(400, "bad_request", NOT_A_BOOK_LATER), refused(400, "400", "bad_request")),
    (answer(404, "1001"), refused(404, "1001")),
    (answer(413, "20000"), refused(413, "20000")),
    (answer(413), refused(413, "http_413")),
    (answer(413, "weird"), refused(413, "weird")),
    (raw(413, b"<html>Request Entity Too Large</html>"), refused(413, "http_413")),
    (answer(422, "20002"), refused(422, "20002")),
    (answer(422, "1003"), refused(422, "1003")),
]
UNKNOWN = [
    (answer(400, "weird"), refused(400, "weird", known=False)),
    (answer(400, {"code": 1004}), refused(400, "1004", known=False)),
    (answer(400, 1004), refused(400, "http_400", known=False)),  # no object: no code
    (answer(400), refused(400, "http_400", known=False)),
    (answer(400, "bad_request"), refused(400, "bad_request", known=False)),
    (answer(400, {"code": "400", "message": "a sentence of its own"}), refused(400, "400", known=False)),
    (answer(404, "weird"), refused(404, "weird", known=False)),
    (answer(409), refused(409, "http_409", known=False)),
    (answer(415), refused(415, "http_415", known=False)),
    (answer(418, {"code": 77}), refused(418, "77", known=False)),
    (answer(422), refused(422, "http_422", known=False)),
    (raw(422), refused(422, "http_422", known=False)),
]
PAGE_ERROR = [
    (answer(status, error, *rest, data=[{}]), refused(status, *codes, pages=1, perhaps_passing=True))
    for status in (200, 206, 400)
    for error, rest, codes in (
        (PAGE_2_BROKE, (), ("internal_server_error",)),
        (PAGE_2_BROKE, ("partial_content",), ("internal_server_error", "partial_content")),
        (PAGE_1_BROKE_LATER, (), ("400",)),
    )
]
NO_ANSWER = [
    *((raw(status, b"<html>welcome</html>"), Malformed(status)) for status in (200, 206, 400, 418)),
    (raw(200), Malformed(200)),
    (raw(206, b"[]"), Malformed(206)),
    (raw(200, b'{"data": "text"}'), Malformed(200)),
    (raw(200, b'{"data":' + b"[" * 100_000), Malformed(200)),
    (failure(FailureKind.TOO_LARGE), Malformed()),
]
PERHAPS_BILLED = [
    (raw(408), failed(408)),
    *((answer(status, "1001"), failed(status)) for status in (0, 100, 500, 999)),
    *((answer(500, code), failed(500)) for code in ("2001", "40001")),
    (answer(500, retry_after="5"), failed(500, retry_after="5")),
    (raw(502, b"<html>"), failed(502)),
    (raw(504), failed(504)),
    # A code of the service is the service's fault whatever the status.
    *(
        (answer(status, code, "bad_request", data=[{}]), failed(status))
        for status in (206, 400)
        for code in ("2001", "40001", "40000")
    ),
    *((failure(kind), failed(None, kind)) for kind in (FailureKind.RESET, FailureKind.TIMEOUT, FailureKind.PROTOCOL)),
]
NOT_PROCESSED = [
    (answer(503, "40000"), failed(503, billed=False)),
    *((raw(503, b"", value), Throttled(503, value)) for value in ("", "banana")),
    (failure(FailureKind.RESET, sent=False), failed(None, FailureKind.RESET, billed=False)),
    (failure(FailureKind.TIMEOUT, sent=False), failed(None, FailureKind.TIMEOUT, billed=False)),
]
ENDS = {
    "no page at all": (NO_PAGE, Story(1, 0, Final())),
    "a known refusal": (KNOWN, Story(1, 0, Final())),
    "an unknown code": (UNKNOWN, Story(1, 0, Final())),
    "a page error on every page": (PAGE_ERROR, Story(2, 1, Final())),
    "no answer of the contract": (NO_ANSWER, Story(2, 1, Final())),
    "perhaps billed": (PERHAPS_BILLED, Story(2, 1, Deferral(None))),
    "surely not processed": (NOT_PROCESSED, Story(6, 0, Deferral(Retry(0.0, billed=False)))),
}


@pytest.mark.parametrize(
    ("result", "verdict", "story"),
    [
        pytest.param(result, verdict, story, id=f"{kind} {number}")
        for kind, (rows, story) in ENDS.items()
        for number, (result, verdict) in enumerate(rows)
    ],
)
def test_the_end_of_a_document(result, verdict, story):
    said = classify(result)
    assert (replace(said, messages=()) if isinstance(said, Refused) else said) == verdict
    assert tell(result) == (story, [])
    # Nothing that may be on the bill is repeated without a budget.
    assert tell(result, billed_left=0) == (replace(story, calls=story.calls - story.billed, billed=0), [])


# --- what pauses everybody --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("retry_after", "seconds"), [("60", 60.0), ("Sun, 22 Nov 2026 12:02:00 GMT", 120.0), ("899", 899.0)]
)
def test_429_and_503_with_retry_after_pause_every_caller(status, retry_after, seconds):
    verdict = classify(answer(status, "40000", retry_after=retry_after))
    assert verdict == Throttled(status, retry_after)
    decision = decide(verdict, Attempts(), billed_left=0, elapsed_s=0.0, now=NOW, jitter=1.0, config=RetryConfig())
    assert decision == Retry(seconds, billed=False, pause_everyone=True, asked=True)


# --- what stops the run -----------------------------------------------------------------------------------------------

STOPS: list[tuple[Result, Verdict, type[Exception], int, tuple[str, ...]]] = [
    *(
        (given, Fatal(given.status, reason), AuthenticationError, 1, (str(given.status), *words))
        for reason, words, results in (
            (FatalReason.UNAUTHORIZED, ("password",), (raw(401), answer(401, "1001"), answer(401, data=[PAGE]))),
            (FatalReason.FORBIDDEN, ("document_type",), (raw(403), answer(403, data=[PAGE]))),
            (
                FatalReason.NO_ENDPOINT,
                ("host", "document_type"),
                # Where it is not about the document: a page of a gateway, or a code that only repeats the status.
                [
                    given
                    for status in (404, 405)
                    for given in (
                        raw(status),
                        raw(status, b"<html>"),
                        answer(status),
                        answer(status, "404"),
                        answer(status, "not_found", "bad_request"),
                        answer(status, "method_not_allowed"),
                        answer(status, "bad_request"),
                    )
                ],
            ),
            (
                FatalReason.REDIRECT,
                ("host",),
                [given for status in (300, 301, 302, 399) for given in (raw(status), answer(status, data=[PAGE]))],
            ),
        )
        for given in results
    ),
    (
        failure(FailureKind.TLS, sent=False),
        Fatal(None, FatalReason.TLS),
        AuthenticationError,
        1,
        ("certificate", "host"),
    ),
    *(
        (
            answer(429, retry_after=retry_after),
            Throttled(429, retry_after),
            AccountError,
            4,
            ("after 3 pauses", "credit", "requests_per_second"),
        )
        for retry_after in (None, "banana", "-1", "99999")
    ),
    *(
        (
            answer(status, retry_after="901"),
            Throttled(status, "901"),
            ServiceUnavailableError,
            1,
            (f"HTTP {status} with Retry-After",),
        )
        for status in (429, 503)
    ),
    *(
        (
            failure(FailureKind.CONNECT, sent=sent),
            failed(None, FailureKind.CONNECT, billed=False),
            ServiceUnavailableError,
            6,
            ("6 tries",),
        )
        for sent in (False, True)
    ),
]


@pytest.mark.parametrize(("result", "verdict", "error", "calls", "words"), STOPS)
def test_what_stops_the_run_and_what_it_says(result, verdict, error, calls, words):
    assert classify(result) == verdict
    story, pauses = tell(result, billed_left=0)
    assert (story.calls, story.billed) == (calls, 0)
    assert isinstance(story.end, Abort)
    assert type(story.end.error) is error
    assert all(word in str(story.end.error) for word in words)
    assert pauses == sorted(set(pauses))
    assert len(pauses) == (calls - 1 if error is AccountError else 0)
    if error is ServiceUnavailableError:
        assert story.end.error.retry_after_s == (901.0 if isinstance(verdict, Throttled) else None)


def test_every_kind_of_failure_has_a_verdict():
    assert all(classify(failure(kind, sent=sent)) for kind in FailureKind for sent in (True, False))
