# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from airflow_provider_aigen.core.service.breaker import Breaker, BreakerState


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(10):
        breaker.record_failure(at)
    assert breaker.state(at) is BreakerState.OPEN
    return breaker


def test_ten_failures_in_a_row_open_it_and_nine_do_not():
    breaker = Breaker()
    for _ in range(9):
        breaker.record_failure(0)
    assert breaker.may_call(0)
    breaker.record_failure(0)
    assert breaker.state(0) is BreakerState.OPEN
    assert not breaker.may_call(0)


def test_a_success_breaks_the_row():
    breaker = Breaker()
    for result in [False] * 9 + [True] + [False] * 9:
        (breaker.record_success if result else breaker.record_failure)(0)
    assert breaker.state(0) is BreakerState.CLOSED


def test_half_of_the_last_50_opens_it_when_there_are_50():
    breaker = Breaker()
    for number in range(49):
        assert breaker.state(0) is BreakerState.CLOSED
        (breaker.record_success if number % 2 else breaker.record_failure)(0)
    breaker.record_failure(0)
    assert breaker.state(0) is BreakerState.OPEN


def test_a_ratio_counts_only_the_last_50():
    breaker = Breaker()
    for number in range(40):  # 20 failures that the window forgets
        (breaker.record_success if number % 2 else breaker.record_failure)(0)
    for number in range(200):
        (breaker.record_failure if number % 5 == 0 else breaker.record_success)(0)
        assert breaker.state(0) is BreakerState.CLOSED


def test_after_the_cool_down_exactly_one_probe_may_call():
    breaker = opened()
    assert breaker.wait_s(10) == 20
    assert not breaker.may_call(29.9)
    assert breaker.wait_s(29.5) == 0.5
    assert breaker.wait_s(30) == 0
    assert breaker.state(30) is BreakerState.HALF_OPEN
    assert breaker.may_call(30)
    assert not breaker.may_call(31)
    assert breaker.wait_s(31) > 0


def test_a_probe_that_succeeds_closes_it_for_good():
    breaker = opened()
    assert breaker.may_call(30)
    breaker.record_success(31)
    assert breaker.state(31) is BreakerState.CLOSED
    breaker.record_failure(32)  # the failures before it are forgotten
    assert breaker.may_call(32)


def test_a_failed_probe_doubles_the_cool_down_up_to_five_minutes():
    breaker, now, waits = opened(), 0.0, []
    for _ in range(6):
        now += breaker.wait_s(now)
        assert breaker.may_call(now)
        breaker.record_failure(now)
        waits.append(breaker.wait_s(now))
    assert waits == [60, 120, 240, 300, 300, 300]
    now += 300
    assert breaker.may_call(now)
    breaker.record_success(now)
    for _ in range(10):
        breaker.record_failure(now)
    assert breaker.wait_s(now) == 30


def test_a_probe_that_says_nothing_leaves_its_place_to_the_next():
    breaker = opened()
    assert breaker.may_call(30)
    breaker.release_probe()
    assert breaker.state(30) is BreakerState.HALF_OPEN
    assert breaker.may_call(30)
    assert not breaker.may_call(30)


def test_late_results_of_earlier_calls_neither_close_nor_prolong_it():
    breaker = opened()
    breaker.record_success(5)
    breaker.record_failure(6)
    assert breaker.wait_s(6) == 24
    breaker.record_failure(31)  # half-open, nobody probes
    assert breaker.may_call(31)


class BreakerMachine(RuleBasedStateMachine):
    """Against a model that remembers every result."""

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker(threshold=3, window=6, ratio=0.5, cooldown_s=30)
        self.now = 0.0
        self.probes = 0
        self.opened_at: float | None = None
        self.cooldown = 30.0
        self.since_closed: list[bool] = []

    def expected(self) -> BreakerState:
        if self.opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if self.now < self.opened_at + self.cooldown else BreakerState.HALF_OPEN

    @rule(seconds=st.floats(0.1, 400))
    def wait(self, seconds):
        self.now += seconds

    @rule()
    def wait_as_told(self):
        self.now += self.breaker.wait_s(self.now)

    @rule()
    def call(self):
        state = self.expected()
        allowed = self.breaker.may_call(self.now)
        if state is BreakerState.HALF_OPEN:
            assert allowed == (self.probes == 0)
            self.probes += allowed
        else:
            assert allowed == (state is BreakerState.CLOSED)

    @rule()
    def success(self):
        if self.expected() is BreakerState.HALF_OPEN:
            self.opened_at, self.cooldown, self.probes, self.since_closed = None, 30.0, 0, []
        self.since_closed.append(True)
        self.breaker.record_success(self.now)

    @rule()
    def failure(self):
        state = self.expected()
        self.since_closed.append(False)
        self.breaker.record_failure(self.now)
        if state is BreakerState.CLOSED:
            last = self.since_closed[-6:]
            if self.since_closed[-3:] == [False] * 3 or (len(last) == 6 and last.count(False) >= 3):
                self.opened_at = self.now
        elif state is BreakerState.HALF_OPEN and self.probes:
            self.opened_at, self.cooldown, self.probes = self.now, min(self.cooldown * 2, 300.0), 0

    @precondition(lambda self: self.probes)
    @rule()
    def probe_is_cancelled(self):
        self.breaker.release_probe()
        self.probes = 0

    @invariant()
    def state_is_the_models(self):
        assert self.breaker.state(self.now) is self.expected()
        assert self.probes <= 1

    @invariant()
    def waiting_is_never_over_while_nobody_may_call(self):
        wait_s = self.breaker.wait_s(self.now)
        blocked = self.expected() is BreakerState.OPEN or self.probes == 1
        assert (wait_s > 0) == blocked
        assert wait_s <= 300


TestBreakerMachine = BreakerMachine.TestCase
TestBreakerMachine.settings = settings(stateful_step_count=40)


def test_failed_probes_are_counted_in_a_row():
    breaker = opened()
    for failed, now in enumerate((30.0, 90.0), start=1):
        assert breaker.may_call(now)
        breaker.record_failure(now)
        assert breaker.failed_probes == failed
    assert breaker.may_call(210.0)
    breaker.record_success(210.0)
    assert breaker.failed_probes == 0
