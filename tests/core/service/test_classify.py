# SPDX-License-Identifier: Apache-2.0
"""What the table of design §5 does not say by itself; its rows are in test_failure_table.py."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind, KeptAnswer
from airflow_provider_aigen.core.service.classify import (
    Extracted,
    Malformed,
    Refused,
    ServiceFailed,
    classify,
    classify_kept,
)
from airflow_provider_aigen.core.service.codes import contract_message

PAGE = {"f": {"value": "v"}}


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


def test_repeated_codes_and_messages_are_named_once():
    messages = ["Page 2 : Internal Server Error"] * 2 + ["foreign text"]
    errors = [{"code": "internal_server_error", "message": message} for message in messages]
    verdict = classify(ApiResponse(400, json.dumps({"error": errors}).encode(), 0.1))
    assert verdict == Refused(
        400, ("internal_server_error",), ("Page 2 : Internal Server Error",), None, (), perhaps_passing=True
    )


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
