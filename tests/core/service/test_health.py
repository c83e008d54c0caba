# SPDX-License-Identifier: Apache-2.0
"""What the calls of one try show of the service: each rule by example, and any sequence against a plain model."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.errors import (
    AccountError,
    AuthenticationError,
    ContractError,
    ServiceUnavailableError,
)
from airflow_provider_aigen.core.models import NO_ROWS, FailureKind
from airflow_provider_aigen.core.service.breaker import BreakerState
from airflow_provider_aigen.core.service.health import PAUSES_S, REFUSED_SIZES, CallRecord, Health
from airflow_provider_aigen.core.service.verdicts import (
    Extracted,
    Failed,
    Fatal,
    FatalReason,
    Refused,
    Throttled,
    Verdict,
)

EXTRACTED = Extracted(NO_ROWS, 1)
REFUSED = Refused(400, ("1001",))
UNKNOWN = Refused(400, ("weird",), known=False)
FAILED = Failed(500, ("service_error",), billed=True)
UNREACHABLE = Failed(None, ("service_error",), billed=False, kind=FailureKind.CONNECT)
ACCESS = Failed(403, ("access_refused",), billed=False)
TOO_LARGE = Failed(413, ("http_413",), billed=True)
TOO_LARGE_FOR_ALL = Refused(413, ("http_413",))
THROTTLED = Throttled(429)
ASKED = Throttled(429, 5.0)
FATAL = Fatal(401, FatalReason.UNAUTHORIZED)


class Recorder:
    """A health that is fed with one call after the other, each of a document of its own unless it is named."""

    def __init__(self, **settings: int) -> None:
        self.health = Health(**settings)
        self.now = 0.0
        self.calls = 0

    def __call__(self, verdict: Verdict, **facts):
        """A call that begins in a moment and takes a tenth of a second."""
        began_at, self.now = self.now + 0.01, self.now + 0.11
        return self.at(verdict, began_at, self.now, **facts)

    def at(self, verdict: Verdict, began_at: float, ended_at: float, *, name: str = "", size: int = 1000, **facts):
        self.calls += 1
        call = CallRecord(name or f"d{self.calls}", verdict, began_at, ended_at, size, **facts)
        return self.health.record(call)


# --- what counts as answered --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "answered"),
    [
        (EXTRACTED, True),
        (REFUSED, True),
        (UNKNOWN, False),
        (TOO_LARGE_FOR_ALL, False),
        (Refused(413, ("20000",)), True),
        (FAILED, False),
        (THROTTLED, False),
        (ASKED, False),
        (FATAL, False),
    ],
)
def test_the_service_did_its_work_where_it_read_or_refused_in_the_contracts_words(verdict, answered):
    assert CallRecord("d", verdict, 0.0, 1.0, 1000).answered is answered
    see = Recorder()
    see.at(verdict, 1.0, 2.0)
    assert see.health.answered == answered
    assert see.health.answered_since(0.9) is answered


def test_the_newest_answered_call_is_the_one_that_began_last():
    see = Recorder()
    assert not see.health.answered_since(-1e9)
    see.at(EXTRACTED, 5.0, 6.0)
    see.at(EXTRACTED, 2.0, 7.0)  # it began earlier, and took long
    assert see.health.answered_since(4.9)
    assert not see.health.answered_since(5.0)
    see.at(FAILED, 8.0, 9.0)
    assert not see.health.answered_since(5.0)


# --- rounds -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answered", "failures", "counts"), [(9, 1, False), (10, 1, True), (0, 0, False), (1, 0, True), (18, 2, False)]
)
def test_a_round_counts_where_new_documents_are_answered_and_fewer_than_a_tenth_of_their_calls_fail(
    answered, failures, counts
):
    see = Recorder()
    for verdict in [FAILED] * failures + [EXTRACTED] * answered:
        see(verdict)
    for _ in range(30):  # what happens to dead letters of earlier runs says nothing
        see(EXTRACTED, letter=True)
        see(FAILED, letter=True)
    assert see.health.round_counts is counts
    assert (see.health.new_answered, see.health.new_failures, see.health.new_calls) == (
        answered,
        failures,
        answered + failures,
    )


def test_calls_that_repeat_one_count_for_the_round_too():
    see = Recorder()
    for _ in range(19):
        see(EXTRACTED)
    see(FAILED)
    assert see.health.round_counts
    see(FAILED, again=True)
    see(FAILED, again=True)
    assert not see.health.round_counts


# --- breaker ------------------------------------------------------------------------------------------------------


def state(see: Recorder) -> BreakerState:
    return see.health.breaker.state(see.now)


@pytest.mark.parametrize("verdict", [FAILED, UNREACHABLE, ACCESS, Failed(200, ("malformed_response",), billed=True)])
def test_ten_failures_in_a_row_open_the_breaker(verdict):
    see = Recorder()
    see(EXTRACTED)
    for _ in range(9):
        see(verdict)
    assert state(see) is BreakerState.CLOSED
    see(verdict)
    assert state(see) is BreakerState.OPEN


@pytest.mark.parametrize("verdict", [THROTTLED, ASKED, UNKNOWN, TOO_LARGE_FOR_ALL, FATAL])
def test_what_is_neither_an_answer_nor_a_failure_leaves_the_breaker_alone(verdict):
    see = Recorder(unknown_code_limit=100)
    for _ in range(9):
        see(FAILED)
    for _ in range(12):
        see(verdict)
    assert state(see) is BreakerState.CLOSED
    see(FAILED)
    assert state(see) is BreakerState.OPEN


@pytest.mark.parametrize("verdict", [EXTRACTED, REFUSED])
def test_an_answer_breaks_the_row_of_failures(verdict):
    see = Recorder()
    for one in [FAILED] * 9 + [verdict] + [FAILED] * 9:
        see(one)
    assert state(see) is BreakerState.CLOSED


@pytest.mark.parametrize("facts", [{"again": True}, {"letter": True}, {"again": True, "letter": True}])
def test_a_document_that_failed_before_opens_no_breaker(facts):
    see = Recorder()
    for _ in range(100):
        see(FAILED, **facts)
    assert state(see) is BreakerState.CLOSED


def opened(**settings: int) -> Recorder:
    see = Recorder(**settings)
    for _ in range(10):
        see(FAILED)
    assert state(see) is BreakerState.OPEN
    return see


def probe(see: Recorder, verdict: Verdict, **facts):
    see.now += see.health.breaker.wait_s(see.now)
    assert see.health.breaker.may_call(see.now)
    return see(verdict, **facts)


@pytest.mark.parametrize("facts", [{}, {"again": True}, {"letter": True}])
def test_three_failed_probes_end_the_run_whatever_document_they_are(facts):
    see = opened()
    assert probe(see, FAILED, **facts) is None
    assert probe(see, FAILED, **facts) is None
    error = probe(see, FAILED, **facts)
    assert isinstance(error, ServiceUnavailableError)
    assert "circuit breaker is open" in str(error)
    assert 210.0 < see.now < 215.0


@pytest.mark.parametrize("facts", [{}, {"again": True}, {"letter": True}])
def test_a_probe_that_is_answered_closes_the_breaker(facts):
    see = opened()
    probe(see, FAILED)
    probe(see, FAILED)
    assert probe(see, EXTRACTED, **facts) is None
    assert state(see) is BreakerState.CLOSED
    for _ in range(10):
        assert see(FAILED) is None
    assert probe(see, FAILED) is None


def test_a_gateway_that_answers_413_to_all_of_a_sudden_ends_the_run_by_its_breaker():
    """A large body was answered before, so it is no limit of sizes."""
    see = Recorder()
    see(EXTRACTED, size=9_000_000)
    for _ in range(10):
        assert see(TOO_LARGE) is None
    errors = [probe(see, TOO_LARGE) for _ in range(3)]
    assert errors[:2] == [None, None]
    assert isinstance(errors[2], ServiceUnavailableError)


def test_an_endpoint_that_was_never_reached_says_so():
    see = Recorder()
    assert see.health.unreachable_error() is not None
    for _ in range(10):
        assert see(UNREACHABLE) is None
    errors = [probe(see, UNREACHABLE) for _ in range(3)]
    assert errors[:2] == [None, None]
    assert isinstance(errors[2], ServiceUnavailableError)
    assert "cannot be reached" in str(errors[2])


@pytest.mark.parametrize("verdict", [EXTRACTED, UNKNOWN, FAILED, THROTTLED, FATAL, Failed(None, ("x",), billed=False)])
def test_an_endpoint_that_was_reached_once_is_not_unreachable(verdict):
    see = Recorder()
    see(UNREACHABLE)
    see(verdict)
    see(UNREACHABLE)
    assert see.health.unreachable_error() is None


# --- 429 without Retry-After --------------------------------------------------------------------------------------


def test_two_pauses_that_grow_then_the_account_is_to_blame():
    see = Recorder()
    assert PAUSES_S == (2.0, 8.0)
    assert see.health.throttle_pause_s == 2.0
    for pause_s in PAUSES_S:
        assert see(THROTTLED) is None
        assert see.health.throttle_pause_s == pause_s
        see.now += pause_s
    error = see(THROTTLED)
    assert isinstance(error, AccountError)
    assert "after 2 pauses" in str(error)
    assert see.health.throttle_pause_s == 8.0


def test_a_burst_in_flight_counts_once():
    see = Recorder()
    for number in range(50):
        assert see.at(THROTTLED, number / 100, 1.0 + number / 100) is None  # all began before the first one ended
    assert see.health.throttle_pause_s == 2.0
    for number in range(50):
        assert see.at(THROTTLED, 3.0 + number / 100, 4.0 + number / 100) is None
    assert see.health.throttle_pause_s == 8.0
    assert isinstance(see.at(THROTTLED, 12.0, 12.1), AccountError)


def test_a_call_that_begins_as_the_429_comes_is_not_of_its_burst():
    see = Recorder()
    see.at(THROTTLED, 0.0, 1.0)
    see.at(THROTTLED, 1.0, 2.0)
    assert isinstance(see.at(THROTTLED, 2.0, 3.0), AccountError)


@pytest.mark.parametrize("verdict", [EXTRACTED, REFUSED])
def test_a_success_between_them_forgets_them(verdict):
    see = Recorder()
    for _ in range(20):
        assert see(THROTTLED) is None
        assert see(THROTTLED) is None
        assert see(verdict) is None
        assert see.health.throttle_pause_s == 2.0


@pytest.mark.parametrize("began_at", [0.0, 1.0])
def test_a_success_of_a_call_that_began_before_the_429_came_forgets_nothing(began_at):
    see = Recorder()
    see.at(THROTTLED, 0.0, 1.0)
    see.at(EXTRACTED, began_at, 3.0)
    assert see.at(THROTTLED, 3.0, 4.0) is None
    assert isinstance(see.at(THROTTLED, 12.0, 13.0), AccountError)


@pytest.mark.parametrize("verdict", [FAILED, UNKNOWN, ASKED, ACCESS, TOO_LARGE_FOR_ALL])
def test_nothing_else_forgets_them_or_counts_as_one(verdict):
    see = Recorder()
    see(THROTTLED)
    see(verdict)
    assert see(THROTTLED) is None
    see(verdict)
    assert isinstance(see(THROTTLED), AccountError)


# --- access -------------------------------------------------------------------------------------------------------


def test_access_that_is_refused_for_the_first_ten_documents_is_refused_for_all():
    see = Recorder()
    for _ in range(9):
        assert see(ACCESS) is None
    error = see(ACCESS)
    assert isinstance(error, AuthenticationError)
    assert "401 or 403, not in the API's own words" in str(error)


def test_one_document_that_is_refused_ten_times_is_not_all():
    see = Recorder()
    for _ in range(20):
        assert see(ACCESS, name="firewall", again=True) is None


def test_access_that_was_granted_once_is_not_refused_for_all_before_the_breaker_says_so():
    see = Recorder()
    see(EXTRACTED)
    for _ in range(10):
        assert see(ACCESS) is None
    errors = [probe(see, ACCESS) for _ in range(3)]
    assert errors[:2] == [None, None]
    assert isinstance(errors[2], AuthenticationError)


@pytest.mark.parametrize("other", [FAILED, UNREACHABLE, TOO_LARGE, EXTRACTED, REFUSED])
def test_access_is_not_refused_for_all_where_something_else_happens_too(other):
    see = Recorder()
    for verdict in [ACCESS] * 9 + [other] + [ACCESS] * 9:
        assert see(verdict) is None
    assert isinstance(see(ACCESS), AuthenticationError) == (other in (FAILED, UNREACHABLE, TOO_LARGE))


def test_an_outage_in_which_a_gateway_refuses_access_now_and_then_is_an_outage():
    """A task retry helps then."""
    see = opened()
    assert probe(see, ACCESS) is None
    assert probe(see, ACCESS) is None
    assert isinstance(probe(see, FAILED), ServiceUnavailableError)
    see = opened()
    assert probe(see, FAILED) is None
    assert probe(see, ACCESS) is None
    assert isinstance(probe(see, ACCESS), ServiceUnavailableError)
    see = opened()
    assert probe(see, ACCESS) is None
    assert probe(see, ACCESS) is None
    assert isinstance(probe(see, ACCESS), ServiceUnavailableError)


# --- 413 ----------------------------------------------------------------------------------------------------------


def test_five_refused_bodies_larger_than_any_that_was_answered_are_a_gateways_limit():
    see = Recorder()
    see(EXTRACTED, size=999_999)
    assert REFUSED_SIZES == 5
    for size in (2_000_000, 1_000_000, 5_000_000, 3_000_000):
        assert see(TOO_LARGE, size=size) is None
    error = see(TOO_LARGE, size=4_000_000)
    assert isinstance(error, ContractError)
    assert "5 images of 1,000,000 to 5,000,000 bytes were refused" in str(error)
    assert "largest image that was answered had 999,999 bytes" in str(error)
    assert isinstance(see(TOO_LARGE, size=6_000_000), ContractError)


def test_the_smallest_bodies_may_be_refused_too():
    see = Recorder()
    for _ in range(4):
        assert see(TOO_LARGE, size=1) is None
    assert isinstance(see(TOO_LARGE, size=1), ContractError)


def test_a_body_as_large_as_the_smallest_refused_one_that_was_answered_clears_the_gateway():
    see = Recorder()
    for _ in range(20):
        see(EXTRACTED, size=1_000_000)
        assert see(TOO_LARGE, size=1_000_000) is None
        see(EXTRACTED, size=10)


def test_a_body_that_was_refused_five_times_is_one():
    see = Recorder()
    for _ in range(20):
        assert see(TOO_LARGE, name="large", size=1_000_000, again=True) is None


@pytest.mark.parametrize("verdict", [UNKNOWN, TOO_LARGE_FOR_ALL, FAILED])
def test_only_an_answer_shows_that_a_body_of_its_size_passes(verdict):
    see = Recorder()
    see(verdict, size=9_000_000)
    for _ in range(4):
        assert see(TOO_LARGE) is None
    assert isinstance(see(TOO_LARGE), ContractError)


# --- unknown codes ------------------------------------------------------------------------------------------------


def test_so_many_unknown_codes_in_a_row_mean_that_the_contract_has_changed():
    see = Recorder()
    for _ in range(19):
        assert see(UNKNOWN) is None
    error = see(UNKNOWN)
    assert isinstance(error, ContractError)
    assert "20 answers in a row" in str(error)
    assert isinstance(see(UNKNOWN), ContractError)


@pytest.mark.parametrize("verdict", [EXTRACTED, REFUSED])
def test_an_answer_breaks_the_row_of_unknown_codes(verdict):
    see = Recorder(unknown_code_limit=3)
    for _ in range(20):
        assert see(UNKNOWN) is None
        assert see(UNKNOWN) is None
        assert see(verdict) is None


@pytest.mark.parametrize("verdict", [FAILED, ASKED, ACCESS, TOO_LARGE])
def test_what_is_no_answer_does_not_break_it(verdict):
    see = Recorder(unknown_code_limit=3)
    for one in (UNKNOWN, verdict, UNKNOWN, verdict):
        assert see(one) is None
    assert isinstance(see(UNKNOWN), ContractError)


# --- any sequence -------------------------------------------------------------------------------------------------


class Model:
    """The rules, each computed anew from the whole list of calls. The breaker stays out of it."""

    def __init__(self, calls: list[CallRecord], unknown_code_limit: int) -> None:
        self.calls = calls
        self.limit = unknown_code_limit

    def answered(self) -> list[CallRecord]:
        return [call for call in self.calls if call.answered]

    def throttles(self) -> list[CallRecord]:
        """The first 429 of each burst since the newest success that began after one."""
        heads: list[CallRecord] = []
        forgotten = 0
        for call in self.calls:
            if call.verdict == THROTTLED and not (heads and call.began_at < heads[-1].ended_at):
                heads.append(call)
            elif call.answered and heads and call.began_at > heads[-1].ended_at:
                forgotten = len(heads)
        return heads[forgotten:]

    def error(self) -> type[Exception] | None:
        """What the newest call ends the run with."""
        newest, found = self.calls[-1], None
        if newest.verdict == THROTTLED:
            first = bool(self.throttles()) and self.throttles()[-1] is newest
            found = AccountError if first and len(self.throttles()) > 2 else None
        elif newest.verdict == ACCESS:
            row = self.since(
                lambda call: call.answered or (isinstance(call.verdict, Failed) and call.verdict != ACCESS)
            )
            refused = {call.document_id for call in row if call.verdict == ACCESS}
            found = AuthenticationError if len(refused) >= 10 and not self.answered() else None
        elif newest.verdict == TOO_LARGE:
            refused = {call.document_id: call.image_bytes for call in self.calls if call.verdict == TOO_LARGE}
            passed = max((call.image_bytes for call in self.answered()), default=0)
            found = ContractError if len(refused) >= 5 and passed < min(refused.values()) else None
        elif not isinstance(newest.verdict, Failed):
            success = self.since(
                lambda call: isinstance(call.verdict, (Extracted, Refused)) and call.verdict != UNKNOWN
            )
            found = ContractError if sum(call.verdict == UNKNOWN for call in success) >= self.limit else None
        return found

    def since(self, ends) -> list[CallRecord]:
        """The calls behind the newest one that ``ends`` the row."""
        last = max((number for number, call in enumerate(self.calls) if ends(call)), default=-1)
        return self.calls[last + 1 :]


VERDICTS = st.sampled_from(
    [EXTRACTED, REFUSED, UNKNOWN, FAILED, UNREACHABLE, ACCESS, TOO_LARGE, TOO_LARGE_FOR_ALL, THROTTLED, ASKED]
)
STEPS = st.tuples(
    VERDICTS,
    st.integers(1, 15),  # the document
    st.sampled_from([0.0, 0.5, 1.0, 20.0]),  # since the call before ended
    st.sampled_from([0.1, 0.5, 1.0, 5.0]),  # how long it took
    st.sampled_from([1000, 1_000_000, 2_000_000]),
    st.booleans(),
)


@st.composite
def histories(draw: st.DrawFn) -> list[CallRecord]:
    """Calls in the order in which they end. Runs of one verdict are frequent, for the rules count them."""
    calls: list[CallRecord] = []
    now = 100.0
    for verdict, times in draw(st.lists(st.tuples(VERDICTS, st.integers(1, 12)), max_size=6)):
        for step in draw(st.lists(STEPS, min_size=times, max_size=times)):
            now += step[2]
            one = verdict if draw(st.integers(0, 9)) else step[0]
            name = f"d{step[1]}" if step[5] else f"new{len(calls)}"
            # A document that failed before: the breaker has tests of its own.
            calls.append(CallRecord(name, one, now - step[3], now, step[4], again=True, letter=not step[5]))
    return calls


@given(histories(), st.sampled_from([3, 20]))
def test_any_sequence_gives_what_the_model_gives(calls, limit):
    health = Health(unknown_code_limit=limit)
    for number, call in enumerate(calls, start=1):
        error = health.record(call)
        model = Model(calls[:number], limit)
        assert (type(error) if error else None) is model.error()
        assert health.answered == len(model.answered())
        newest = max((one.began_at for one in model.answered()), default=None)
        assert not health.answered_since(newest if newest is not None else -1e9)
        assert newest is None or health.answered_since(newest - 0.01)
        assert health.throttle_pause_s == (8.0 if len(model.throttles()) > 1 else 2.0)
        own = [one for one in calls[:number] if not one.letter]
        failed = sum(isinstance(one.verdict, Failed) for one in own)
        assert health.round_counts == (any(one.answered for one in own) and failed * 10 < len(own))
        reached = any(one.verdict != UNREACHABLE for one in calls[:number])
        assert (health.unreachable_error() is None) == reached
        assert state_of(health, call) is BreakerState.CLOSED


def state_of(health: Health, call: CallRecord) -> BreakerState:
    return health.breaker.state(call.ended_at)
