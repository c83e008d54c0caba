# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.config import RetryConfig
from airflow_provider_aigen.core.errors import AuthenticationError, ServiceUnavailableError
from airflow_provider_aigen.core.models import Answer, FailureKind
from airflow_provider_aigen.core.service.classify import (
    Extracted,
    Fatal,
    FatalReason,
    Malformed,
    Refused,
    ServiceFailed,
    Throttled,
)
from airflow_provider_aigen.core.service.retry import Abort, Attempts, Deferral, Final, Retry, decide, parse_retry_after

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CONFIG = RetryConfig()
PASSING = Refused(400, ("internal_server_error",), perhaps_passing=True)
BILLED = ServiceFailed(500, None, billed=True)
FREE = ServiceFailed(503, None, billed=False)
UNREACHABLE = ServiceFailed(None, FailureKind.CONNECT, billed=False)


def ask(verdict, attempts=Attempts(), *, billed_left=10, elapsed_s=0.0, jitter=1.0, config=CONFIG):  # noqa: B008  frozen
    return decide(
        verdict, attempts, billed_left=billed_left, elapsed_s=elapsed_s, now=NOW, jitter=jitter, config=config
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 1.5 ", 1.5),
        ("3600", 3600.0),
        ("3601", None),
        ("-1", None),
        ("1e3", None),
        ("nan", None),
        ("inf", None),
        ("๕", None),
        ("", None),
        (None, None),
        ("soon", None),
        ("9" * 400, None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30.0),
        ("Sunday, 22-Nov-26 12:00:30 GMT", 30.0),
        ("Sun Nov 22 12:00:30 2026", 30.0),
        ("Sun, 22 Nov 2026 14:00:30 +0200", 30.0),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 22 Nov 2026 13:00:00 GMT", 3600.0),
        ("Sun, 22 Nov 2026 13:00:01 GMT", None),
        ("Sun, 99 Nov 2026 12:00:30 GMT", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT (" + "x" * 32 + ")", 30.0),  # 64 characters
        ("Sun, 22 Nov 2026 12:00:30 GMT (" + "x" * 33 + ")", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
    ],
)
def test_retry_after(value, seconds):
    assert parse_retry_after(value, NOW) == seconds


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, [0-9 ]{2,4} [A-Z][a-z]{2} [0-9]{1,6} [0-9:]{0,9} ?[A-Z+0-9-]{0,6}"))
def test_any_retry_after_is_none_or_at_most_an_hour(value):
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds <= 3600


@given(st.integers(0, 3600))
def test_a_date_says_the_same_as_its_seconds(seconds):
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert parse_retry_after(date, NOW) == parse_retry_after(str(seconds), NOW) == float(seconds)


def test_attempts_count_calls_and_each_budget():
    attempts = Attempts()
    for decision in (
        Retry(1.0, billed=False),
        Retry(1.0, billed=True),
        Retry(1.0, billed=False, pause_everyone=True),
        Retry(1.0, billed=False, pause_everyone=True, asked=True),
        Final(),
        Deferral(Retry(1.0, billed=True)),
        Abort(AuthenticationError("")),
    ):
        attempts = attempts.after(decision)
    assert attempts == Attempts(calls=5, free_retries=1, billed_retries=1, throttles=1)


@pytest.mark.parametrize(("retries", "cap"), [(0, 0.5), (1, 1.0), (2, 2.0), (4, 8.0), (6, 30.0), (5000, 30.0)])
@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_full_jitter(retries, cap, jitter):
    decision = ask(FREE, Attempts(free_retries=retries), jitter=jitter, config=RetryConfig(free_retries=10_000))
    assert decision == Retry(jitter * cap, billed=False)


@pytest.mark.parametrize("verdict", [PASSING, Malformed(200), BILLED])
def test_a_billed_retry_needs_both_budgets_and_time(verdict):
    def said(retry):
        return Deferral(retry) if verdict is BILLED else retry or Final()

    end = said(None)
    assert ask(verdict) == said(Retry(0.5, billed=True))
    assert ask(verdict, billed_left=1) == said(Retry(0.5, billed=True))
    assert ask(verdict, billed_left=0) == end
    assert ask(verdict, Attempts(billed_retries=1)) == end
    assert ask(verdict, Attempts(free_retries=99, throttles=99)) == said(Retry(0.5, billed=True))
    assert ask(verdict, elapsed_s=899.5) == said(Retry(0.5, billed=True))
    assert ask(verdict, elapsed_s=899.6) == end


def test_a_free_retry_needs_its_budget_and_time():
    assert ask(FREE, Attempts(free_retries=4), billed_left=0) == Retry(8.0, billed=False)
    later = Deferral(Retry(0.0, billed=False))
    assert ask(FREE, Attempts(free_retries=5)) == later
    assert ask(FREE, elapsed_s=899.6) == later
    assert isinstance(ask(UNREACHABLE, elapsed_s=899.6), Abort)


@pytest.mark.parametrize(("verdict", "billed"), [(500, True), (503, False)])
def test_retry_after_is_a_floor_under_the_backoff(verdict, billed):
    def said(delay_s):
        retry = Retry(delay_s, billed=billed)
        return Deferral(retry) if billed else retry

    failed = ServiceFailed(verdict, None, billed=billed, retry_after="7")
    assert ask(failed) == said(7.0)
    assert ask(ServiceFailed(verdict, None, billed=billed, retry_after="Sun, 22 Nov 2026 12:00:07 GMT")) == ask(failed)
    assert ask(ServiceFailed(verdict, None, billed=billed, retry_after="0.1")) == said(0.5)
    assert ask(ServiceFailed(verdict, None, billed=billed, retry_after="901")) == Deferral(
        None if billed else Retry(0.0, billed=False)
    )
    assert ask(ServiceFailed(verdict, None, billed=billed, retry_after="soon")) == said(0.5)


def test_a_retry_after_of_zero_is_no_busy_loop():
    attempts, pauses = Attempts(), []
    for _ in range(4):
        decision = ask(Throttled(429, "0"), attempts)
        attempts = attempts.after(decision)
        pauses.append(decision.delay_s)
    assert pauses == [1.0, 2.0, 4.0, 8.0]


def test_pauses_that_were_asked_for_do_not_count_as_tries():
    attempts = Attempts()
    for _ in range(20):
        attempts = attempts.after(ask(Throttled(429, "1"), attempts, jitter=0.0))
    assert (attempts.calls, attempts.throttles) == (21, 0)
    assert ask(Throttled(429), attempts, jitter=0.0) == Retry(1.0, billed=False, pause_everyone=True)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_pauses_without_retry_after_grow_whatever_the_jitter(jitters):
    attempts, pauses = Attempts(), []
    for jitter in jitters:
        decision = ask(Throttled(429), attempts, jitter=jitter)
        attempts = attempts.after(decision)
        pauses.append(decision.delay_s)
    assert pauses[0] < pauses[1] < pauses[2] <= CONFIG.backoff_cap_s


def test_a_throttle_that_outlasts_the_deadline_is_not_the_accounts_fault():
    decision = ask(Throttled(429), elapsed_s=899.0)
    assert isinstance(decision, Abort)
    assert isinstance(decision.error, ServiceUnavailableError)
    assert "longer than a document may wait" in str(decision.error)


@pytest.mark.parametrize("reason", FatalReason)
def test_every_fatal_reason_says_what_to_check(reason):
    decision = ask(Fatal(418, reason))
    assert isinstance(decision, Abort)
    assert isinstance(decision.error, AuthenticationError)
    assert "check" in str(decision.error) or "put" in str(decision.error)


RETRY_AFTERS = st.none() | st.sampled_from(["0", "1", "60", "4000", "-5", "soon"])
VERDICTS = st.one_of(
    st.just(Extracted(Answer(200, ({"f": 1},)))),
    st.builds(Refused, st.just(400), st.just(("x",)), perhaps_passing=st.booleans()),
    st.builds(Malformed, st.just(200)),
    st.builds(
        ServiceFailed,
        st.sampled_from([None, 408, 500, 503]),
        st.none() | st.sampled_from(FailureKind),
        st.booleans(),
        RETRY_AFTERS,
    ),
    st.builds(Throttled, st.sampled_from([429, 503]), RETRY_AFTERS),
    st.builds(Fatal, st.just(401), st.sampled_from(FatalReason)),
)
CONFIGS = st.builds(
    RetryConfig,
    backoff_base_s=st.floats(0.01, 100),
    backoff_cap_s=st.floats(0.01, 1000),
    document_deadline_s=st.floats(1, 2000),
    free_retries=st.integers(0, 5),
    throttle_retries=st.integers(0, 5),
    billed_retries=st.integers(0, 3),
)
STEPS = st.lists(st.tuples(VERDICTS, st.floats(0, 1), st.floats(0, 100)), min_size=1, max_size=40)


@given(STEPS, CONFIGS, st.integers(0, 3))
def test_no_sequence_of_verdicts_exceeds_a_budget_or_the_deadline(steps, config, billed_left):
    attempts, elapsed_s, billed = Attempts(), 0.0, 0
    for verdict, jitter, latency_s in steps:
        elapsed_s += latency_s
        decision = ask(
            verdict, attempts, billed_left=billed_left - billed, elapsed_s=elapsed_s, jitter=jitter, config=config
        )
        if isinstance(decision, Deferral):
            assert isinstance(verdict, (ServiceFailed, Throttled))
            if decision.retry is None or not decision.retry.billed:
                return
            decision = decision.retry
        attempts = attempts.after(decision)
        if not isinstance(decision, Retry):
            assert isinstance(decision, Final) == isinstance(verdict, (Extracted, Refused, Malformed))
            return
        assert math.isfinite(decision.delay_s)
        assert decision.delay_s >= 0
        elapsed_s += decision.delay_s
        billed += decision.billed
        assert elapsed_s <= config.document_deadline_s * (1 + 1e-9)
        assert billed == attempts.billed_retries <= min(config.billed_retries, billed_left)
        assert attempts.free_retries <= config.free_retries
        assert attempts.throttles <= config.throttle_retries
        # Nothing that may have been billed is repeated on the free budget.
        may_be_billed = isinstance(verdict, (Refused, Malformed)) or (
            isinstance(verdict, ServiceFailed) and verdict.billed
        )
        assert decision.billed == may_be_billed
        assert decision.pause_everyone <= isinstance(verdict, Throttled)
    assert attempts.calls == len(steps) + 1
