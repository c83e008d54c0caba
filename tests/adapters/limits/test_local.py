# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from airflow_provider_aigen.adapters.limits.pace import Pace
from airflow_provider_aigen.core.errors import ConfigurationError
from tests.adapters.limits.pacing import LateClock, assert_within
from tests.kit.clock import FakeClock

RATES = (0.1, 0.25, 1 / 3, 0.9, 1, 1.5, 2.5, 5, 7.3, 16, 50, 100, 333, 500)


class Endpoint:
    """What the server sees of callers who take turns, connect for a while, send, and wait for the answer."""

    def __init__(self, rate, rng, *, oversleep_s=0.002, connect_s=0.0, network_s=0.0, latency_s=0.2):
        self.clock = LateClock(rng, oversleep_s)
        self.limiter = LocalRateLimiter(rate, self.clock)
        self.starts: list[float] = []
        self.looks = True  # each turn, before the wire
        self._rng = rng
        self._connect_s, self._network_s, self._latency_s = connect_s, network_s, latency_s

    async def call(self):
        turn = await self.limiter.acquire()
        if self._connect_s:
            await self.clock.sleep(self._rng.uniform(0, self._connect_s))
            if self.looks:
                await turn.starting()
        self.starts.append(self.clock.monotonic() + self._rng.uniform(0, self._network_s))
        await self.clock.sleep(self._rng.uniform(0, 2 * self._latency_s))
        return turn

    async def serve(self, calls, *, throttle_share=0.0):
        async def caller():
            while len(self.starts) < calls:
                turn = await self.call()
                if self._rng.random() < throttle_share:
                    await turn.throttled(self._rng.choice([0.0, 0.5, 1.0, 30.0]))
                else:
                    await turn.succeeded()

        # Enough callers to use the limit whatever the latency (Little's law), and somebody always waiting.
        callers = math.ceil(self.limiter.rate * (self._latency_s + self._connect_s) * 3) + 2
        await self.clock.run(asyncio.gather(*(caller() for _ in range(callers))))
        self.starts.sort()


@pytest.mark.parametrize("rate", RATES)
def test_every_sliding_second_is_bounded_and_used(rate):
    endpoint = Endpoint(rate, random.Random(1), network_s=0.009)

    asyncio.run(endpoint.serve(int(max(40, min(rate * 10, 3000)))))

    starts = endpoint.starts
    assert_within(rate, starts)
    used = (len(starts) - 1) / (starts[-1] - starts[0]) / rate
    assert 0.98 <= used <= 1


@settings(max_examples=60)
@given(
    rate=st.one_of(st.sampled_from(RATES), st.floats(0.1, 100)),
    seed=st.integers(0, 2**32),
    oversleep_s=st.sampled_from([0.0, 0.001, 0.03, 0.5]),
    connect_s=st.sampled_from([0.0, 0.05, 0.4]),
    throttle_share=st.sampled_from([0.0, 0.02, 0.3]),
)
def test_no_window_is_over_the_limit_whatever_the_jitter_and_the_pauses(
    rate, seed, oversleep_s, connect_s, throttle_share
):
    endpoint = Endpoint(rate, random.Random(seed), oversleep_s=oversleep_s, connect_s=connect_s, network_s=0.0099)
    asyncio.run(endpoint.serve(max(30, int(4 * rate)), throttle_share=throttle_share))
    assert_within(rate, endpoint.starts)


def test_connecting_would_break_the_bound_without_the_look_before_the_wire():
    endpoint = Endpoint(5, random.Random(3), connect_s=0.15)
    endpoint.looks = False
    asyncio.run(endpoint.serve(200))
    with pytest.raises(AssertionError):
        assert_within(5, endpoint.starts)


def test_turns_that_nobody_took_are_not_made_up_for():
    async def scenario():
        clock = FakeClock()
        limiter = LocalRateLimiter(5, clock)
        await clock.run(limiter.acquire())
        await clock.advance(60)
        begun = clock.monotonic()
        turns = []

        async def take():
            await limiter.acquire()
            turns.append(clock.monotonic() - begun)

        await clock.run(asyncio.gather(*(take() for _ in range(4))))
        return turns

    assert asyncio.run(scenario()) == pytest.approx([k / (0.985 * 5) for k in range(4)])


@pytest.mark.parametrize("blocked_s", [0.1, 0.2, 0.6])
def test_a_process_that_was_blocked_catches_up_without_a_burst(blocked_s):
    async def scenario():
        clock = FakeClock()
        limiter = LocalRateLimiter(50, clock)
        turns = []

        async def take():
            await limiter.acquire()
            turns.append(clock.monotonic())

        tasks = [asyncio.create_task(take()) for _ in range(200)]
        await clock.advance(0.5)
        clock._elapsed_s += blocked_s  # time passes, and nobody gets to run
        free_s = clock.monotonic()
        await clock.run(asyncio.gather(*tasks))
        return turns, free_s

    turns, free_s = asyncio.run(scenario())
    assert_within(50, turns)
    after = [turn - free_s for turn in turns if turn >= free_s]
    for number, turn in enumerate(after):  # 25 ms of a doubled pace at once, not all that was missed, then that pace
        assert turn >= number / (2 * 0.985 * 50) - 0.025 - 1e-9
    # At last it is as if nothing had been, but for what is over 250 ms.
    missed_s = max(0, blocked_s - 0.25)
    assert turns[-1] - turns[0] == pytest.approx(199 / (0.985 * 50) + missed_s, abs=0.025)


@pytest.mark.parametrize("rate", [5, 50, 500])
def test_one_who_asks_while_a_turn_goes_from_hand_to_hand_makes_nobody_lose_his(rate):
    """Then the lock is free, and yet somebody waits: that the loop woke up late is made up for as ever."""

    async def scenario():
        clock = LateClock(random.Random(1), 0.009)
        limiter = LocalRateLimiter(rate, clock)
        turns = []

        async def caller():
            while len(turns) < 10 * rate:
                await limiter.acquire()
                turns.append(clock.monotonic())

        await clock.run(asyncio.gather(*(caller() for _ in range(3))))
        return turns

    turns = asyncio.run(scenario())
    assert_within(rate, turns)
    assert (len(turns) - 1) / (turns[-1] - turns[0]) / rate >= 0.98


def test_turns_are_given_in_the_order_of_asking_and_a_cancelled_waiter_costs_none():
    async def scenario():
        clock = FakeClock()
        limiter = LocalRateLimiter(10, clock)
        order = []

        async def take(name):
            await limiter.acquire()
            order.append((name, clock.monotonic()))

        tasks = [asyncio.create_task(take(name)) for name in range(6)]
        await clock.advance(0)
        for name in (1, 3):  # the one who sleeps until the next turn, and one behind it
            tasks[name].cancel()
        await clock.run(asyncio.gather(*tasks, return_exceptions=True))
        return order

    order = asyncio.run(scenario())
    assert [name for name, _ in order] == [0, 2, 4, 5]
    times = [at for _, at in order]
    assert [b - a for a, b in itertools.pairwise(times)] == pytest.approx([1 / 9.85] * 3)


def test_a_pause_holds_everybody_and_the_pace_is_halved_once_for_all_calls_from_before():
    async def scenario():
        clock = FakeClock()
        limiter = LocalRateLimiter(10, clock)
        turns, rates = [], []

        async def call(fate):
            turn = await limiter.acquire()
            turns.append(clock.monotonic() - 1000)
            await clock.sleep(1.0)
            if fate:
                await turn.throttled(fate)
                rates.append(limiter.rate)

        tasks = [asyncio.create_task(call(fate)) for fate in [0.2, 5, 1] + [None] * 20]
        await clock.run(asyncio.gather(*tasks))
        return turns, rates

    turns, rates = asyncio.run(scenario())
    # The first ends its second at 1.0 and asks for 0.2 s, the next two for 5 s and for 1 s: nobody starts before 6.1,
    # though the first pause had been over for a moment.
    assert not [at for at in turns if 1.0 <= at < 1.0 + 0.1 / 0.985 + 5]
    assert rates == [5, 5, 5]
    later = [at for at in turns if at > 6]
    assert [b - a for a, b in itertools.pairwise(later)] == pytest.approx([1 / 4.925] * (len(later) - 1))


def test_a_call_that_began_after_the_pause_and_is_throttled_halves_again():
    async def scenario():
        clock = FakeClock()
        limiter = LocalRateLimiter(8, clock)
        rates = []

        async def call():
            turn = await limiter.acquire()
            await clock.sleep(0.01)
            await turn.throttled(1)
            rates.append(limiter.rate)

        for _ in range(6):
            await clock.run(call())
        return rates

    assert asyncio.run(scenario()) == [4, 2, 1, 0.5, 0.4, 0.4]  # never under a twentieth of the limit


def test_a_late_answer_to_a_call_from_before_the_pause_pauses_but_neither_halves_nor_raises_the_pace():
    async def scenario():
        clock = FakeClock()
        limiter = LocalRateLimiter(8, clock)
        rates = []

        async def call(latency_s, pause_s):
            turn = await limiter.acquire()
            begun = clock.monotonic()
            await clock.sleep(latency_s)
            await (turn.succeeded() if pause_s is None else turn.throttled(pause_s))
            rates.append(limiter.rate)
            return begun

        late = asyncio.create_task(call(10, 5))
        later = asyncio.create_task(call(12, None))
        await clock.run(call(1, 1))
        await clock.run(late)
        last = asyncio.create_task(call(0, 1))
        await clock.run(later)
        begun = await clock.run(last)
        return rates, begun - 1000

    rates, begun = asyncio.run(scenario())
    assert rates == [4, 4, 4, 2]
    assert begun == pytest.approx(15)


def test_a_turn_knows_its_call_whichever_task_tells_what_became_of_it():
    async def scenario():
        clock = FakeClock()
        limiter = LocalRateLimiter(8, clock)
        first, second = [await clock.run(limiter.acquire()) for _ in range(2)]
        await first.throttled(1)
        rates = [limiter.rate]
        third = await clock.run(limiter.acquire())
        await second.throttled(1)
        await first.succeeded()
        rates.append(limiter.rate)
        await third.throttled(1)
        return [*rates, limiter.rate]

    assert asyncio.run(scenario()) == [4, 4, 2]


def test_an_answer_to_a_call_from_before_the_pause_says_nothing_about_the_slower_pace():
    pace = Pace(10)
    pace.slow_down(now=10, started_at=9)
    pace.speed_up(started_at=9.5)
    assert pace.rate == 5


@pytest.mark.parametrize("limit", [1, 5, 100, 500])
def test_the_pace_recovers_from_a_half_in_30_seconds_whatever_the_limit(limit):
    pace = Pace(limit)
    pace.slow_down(now=0, started_at=-1)
    elapsed_s = 0.0
    while pace.rate < limit:
        elapsed_s += 1 / pace.rate
        pace.speed_up(started_at=1)
    assert elapsed_s == pytest.approx(30, abs=2 / limit + 0.1)


def test_the_pace_recovers_by_a_tenth_a_call_at_most():
    pace = Pace(0.1)
    pace.slow_down(now=0, started_at=-1)
    pace.speed_up(started_at=1)
    assert pace.share == pytest.approx(0.6)


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, "5", None, True])
def test_a_limit_that_is_none_is_refused(rate):
    with pytest.raises(ConfigurationError, match="requests_per_second"):
        LocalRateLimiter(rate, FakeClock())
