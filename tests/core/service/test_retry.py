# SPDX-License-Identifier: Apache-2.0
"""What follows one call: keep, call again at once, leave it to the suspects, or end the run."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.config import RetryConfig
from airflow_provider_aigen.core.errors import AccountError, AuthenticationError, ServiceUnavailableError
from airflow_provider_aigen.core.models import NO_ROWS, FailureKind
from airflow_provider_aigen.core.service.health import CallRecord, Health
from airflow_provider_aigen.core.service.retry import Attempts, EndRun, Keep, Later, Retry, decide
from airflow_provider_aigen.core.service.verdicts import Extracted, Failed, Fatal, FatalReason, Refused, Throttled

CONFIG = RetryConfig()
ANSWERED = Extracted(NO_ROWS, 1)
BILLED = Failed(500, ("service_error",), billed=True)
FREE = Failed(503, ("service_error",), billed=False)
UNREACHABLE = Failed(None, ("service_error",), billed=False, kind=FailureKind.CONNECT)
RESET = Failed(None, ("service_error",), billed=False, kind=FailureKind.RESET)


def health(*verdicts) -> Health:
    """One that has seen these calls, one per second."""
    found = Health()
    for number, verdict in enumerate(verdicts):
        found.record(CallRecord(f"d{number}", verdict, float(number), number + 0.5, 1000))
    return found


def ask(verdict, attempts=Attempts(), *, seen=(), time_left_s=900.0, jitter=1.0, config=CONFIG):  # noqa: B008  frozen
    return decide(verdict, attempts, health(*seen), time_left_s=time_left_s, jitter=jitter, config=config)


@pytest.mark.parametrize("verdict", [ANSWERED, Refused(400, ("1001",)), Refused(400, ("weird",), known=False)])
def test_an_answer_is_kept(verdict):
    assert ask(verdict) == Keep()
    assert ask(verdict, Attempts(calls=99, connects=99), time_left_s=-1.0) == Keep()


@pytest.mark.parametrize("verdict", [BILLED, FREE, RESET, Failed(200, ("malformed_response",), billed=True)])
def test_a_call_that_left_and_failed_is_the_suspects_matter_whether_billed_or_not(verdict):
    assert ask(verdict) == Later()
    assert ask(verdict, Attempts(calls=99, connects=99), time_left_s=-1.0) == Later()


def test_attempts_count_calls_and_those_without_a_connection():
    attempts = Attempts()
    for verdict in (UNREACHABLE, UNREACHABLE, RESET, Throttled(429), Throttled(503, 1.0), BILLED):
        attempts = attempts.after(verdict)
    assert attempts == Attempts(calls=7, connects=2)


@pytest.mark.parametrize(("connects", "cap"), [(0, 0.5), (1, 1.0), (2, 2.0), (4, 8.0), (6, 30.0), (5000, 30.0)])
@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_full_jitter(connects, cap, jitter):
    decision = ask(UNREACHABLE, Attempts(connects=connects), jitter=jitter, config=RetryConfig(connect_retries=10_000))
    assert decision == Retry(jitter * cap)


def test_a_connection_is_tried_again_within_its_budget_and_time():
    assert ask(UNREACHABLE, Attempts(connects=4)) == Retry(8.0)
    assert ask(UNREACHABLE, time_left_s=0.5) == Retry(0.5)
    assert ask(UNREACHABLE, Attempts(connects=5)) == Later()
    assert ask(UNREACHABLE, time_left_s=0.49) == Later()


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_pauses_every_caller_and_is_a_floor_under_the_backoff(status):
    assert ask(Throttled(status, 60.0)) == Retry(60.0, pause_everyone=True)
    assert ask(Throttled(status, 0.1)) == Retry(1.0, pause_everyone=True)
    assert ask(Throttled(status, 899.0), time_left_s=899.0) == Retry(899.0, pause_everyone=True)


def test_a_retry_after_of_zero_is_no_busy_loop():
    attempts, pauses = Attempts(), []
    for _ in range(4):
        pauses.append(ask(Throttled(429, 0.0), attempts).delay_s)
        attempts = attempts.after(Throttled(429, 0.0))
    assert pauses == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_that_outlasts_the_deadline_is_told_to_the_next_try(status):
    decision = ask(Throttled(status, 60.0), time_left_s=59.9)
    assert isinstance(decision, EndRun)
    assert isinstance(decision.error, ServiceUnavailableError)
    assert decision.error.retry_after_s == 60.0
    assert f"HTTP {status} with Retry-After" in str(decision.error)


def test_429_without_retry_after_pauses_as_long_as_the_health_says():
    throttled = Throttled(429)
    assert ask(throttled, seen=(throttled,)) == Retry(2.0, pause_everyone=True)
    assert ask(throttled, seen=(throttled, throttled)) == Retry(8.0, pause_everyone=True)
    assert ask(throttled, Attempts(calls=50), seen=(throttled,), time_left_s=-1.0) == Retry(2.0, pause_everyone=True)


def test_a_straggler_of_a_burst_that_a_success_has_ended_pauses_too():
    assert ask(Throttled(429), seen=(Throttled(429), ANSWERED)) == Retry(2.0, pause_everyone=True)


@pytest.mark.parametrize(
    ("status", "reason", "said"),
    [
        (401, FatalReason.UNAUTHORIZED, "refuses the API key (HTTP 401): check the password"),
        (403, FatalReason.FORBIDDEN, "no right to this endpoint (HTTP 403): check document_type"),
        (402, FatalReason.NO_CREDIT, "credit or quota is exhausted (HTTP 402): top it up"),
        (429, FatalReason.NO_CREDIT, "credit or quota is exhausted (HTTP 429): top it up"),
        (405, FatalReason.NO_ENDPOINT, "no such endpoint (HTTP 405): check the host"),
        (307, FatalReason.REDIRECT, "redirects (HTTP 307), which is never followed"),
        (None, FatalReason.TLS, "certificate cannot be trusted"),
    ],
)
def test_every_fatal_reason_says_what_to_do(status, reason, said):
    decision = ask(Fatal(status, reason))
    assert isinstance(decision, EndRun)
    assert isinstance(decision.error, AccountError if reason is FatalReason.NO_CREDIT else AuthenticationError)
    assert said in str(decision.error)


VERDICTS = st.one_of(
    st.just(ANSWERED),
    st.builds(Refused, st.just(400), st.just(("x",)), known=st.booleans()),
    st.builds(
        Failed,
        st.sampled_from([None, 200, 408, 500, 503]),
        st.just(("service_error",)),
        st.booleans(),
        st.none() | st.sampled_from(FailureKind),
    ),
    st.builds(Throttled, st.sampled_from([429, 503]), st.none() | st.floats(0, 3600)),
    st.builds(Fatal, st.just(401), st.sampled_from(FatalReason)),
)
CONFIGS = st.builds(
    RetryConfig,
    backoff_base_s=st.floats(0.01, 100),
    backoff_cap_s=st.floats(0.01, 1000),
    document_deadline_s=st.floats(1, 2000),
    connect_retries=st.integers(0, 5),
)
STEPS = st.lists(st.tuples(VERDICTS, st.floats(0, 1), st.floats(0, 100)), min_size=1, max_size=40)


@given(STEPS, CONFIGS)
def test_no_sequence_of_verdicts_exceeds_a_budget_or_repeats_what_may_be_billed(steps, config):
    attempts, now, seen = Attempts(), 0.0, Health()
    for verdict, jitter, latency_s in steps:
        error = seen.record(CallRecord("d", verdict, now, now + latency_s, 1000))
        now += latency_s
        time_left_s = config.document_deadline_s - now
        decision = decide(verdict, attempts, seen, time_left_s=time_left_s, jitter=jitter, config=config)
        if error is not None or not isinstance(decision, Retry):
            assert isinstance(decision, Keep) == isinstance(verdict, (Extracted, Refused))
            assert isinstance(decision, Later) <= isinstance(verdict, Failed)
            assert isinstance(decision, EndRun) >= isinstance(verdict, Fatal)
            return
        assert isinstance(verdict, Throttled) or (isinstance(verdict, Failed) and not verdict.left)
        assert decision.pause_everyone == isinstance(verdict, Throttled)
        assert math.isfinite(decision.delay_s)
        assert decision.delay_s >= 0
        asked = not isinstance(verdict, Throttled) or verdict.retry_after_s is not None
        assert decision.delay_s <= time_left_s or not asked
        attempts = attempts.after(verdict)
        assert attempts.connects <= config.connect_retries
        now += decision.delay_s
    assert attempts.calls == len(steps) + 1
