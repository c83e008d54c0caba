# SPDX-License-Identifier: Apache-2.0
"""The shared limiter against a real Redis on simulated time: tasks of one event loop, none of them in a hurry."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_aigen.core.errors import ConfigurationError
from tests.adapters.limits.pacing import LateClock, assert_within
from tests.adapters.limits.simulated_redis import SimulatedRedis, Tasks

RATES = (0.1, 0.9, 1, 2.5, 5, 7.3, 50, 100, 500)


@pytest.fixture
def shared(redis_client):
    """``shared(rate, tasks)`` on an empty Redis; the server beside it."""

    def make(rate, tasks=4, *, seed=1, oversleep_s=0.001, redis_s=0.001, **arguments):
        redis_client.flushall()
        rng = random.Random(seed)
        clock = LateClock(rng, oversleep_s)
        server = SimulatedRedis(redis_client, clock, rng, redis_s)
        return Tasks(server, clock, rng, rate, tasks, **arguments), server

    return make


def run(tasks, work):
    return asyncio.run(_run(tasks, work))


async def _run(tasks, work):
    return await tasks.clock.run(work())


@pytest.mark.parametrize("rate", RATES)
def test_four_tasks_stay_within_the_limit_use_it_and_share_it(shared, rate, redis_client):
    tasks, _ = shared(rate)
    calls = max(40, min(8 * rate, 1000))
    run(tasks, lambda: tasks.serve(calls / rate))

    starts = tasks.all_starts
    assert_within(rate, starts)
    assert 0.98 <= (len(starts) - 1) / (starts[-1] - starts[0]) / rate <= 1
    assert int(redis_client.hget("aigen:limiter:{aigen_default}:pace", "slot")) == len(starts), "no slot was wasted"
    shares = [len(own) for own in tasks.starts]
    assert max(shares) - min(shares) <= max(2, 0.1 * max(shares))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rate=st.one_of(st.sampled_from(RATES), st.floats(0.1, 60)),
    tasks=st.integers(1, 6),
    seed=st.integers(0, 2**32),
    oversleep_s=st.sampled_from([0.0, 0.001, 0.03, 0.2]),
    redis_s=st.sampled_from([0.0, 0.001, 0.04]),
    connect_s=st.sampled_from([0.0, 0.05, 0.4, 1.5]),
    throttle_share=st.sampled_from([0.0, 0.02, 0.3]),
)
def test_no_window_is_over_the_limit_whatever_the_jitter_and_the_pauses(
    shared, rate, tasks, seed, oversleep_s, redis_s, connect_s, throttle_share
):
    made, _ = shared(rate, tasks, seed=seed, oversleep_s=oversleep_s, redis_s=redis_s, connect_s=connect_s)
    run(made, lambda: made.serve(max(15, min(3 * rate, 60)) / rate, throttle_share=throttle_share))
    assert len(made.all_starts) > 1
    assert_within(rate, made.all_starts)


def test_a_slow_way_to_redis_hides_no_late_start(shared):
    """What a task knows of Redis's clock at first is as uncertain as the way is long, and gets better."""
    for seed in range(20):
        tasks, _ = shared(2.5, 6, seed=seed, redis_s=0.04)
        run(tasks, lambda tasks=tasks: tasks.serve(4, throttle_share=0.3))
        assert_within(2.5, tasks.all_starts)


def test_a_share_that_is_not_used_is_used_by_others(shared):
    tasks, _ = shared(20, 2)

    async def scenario():
        await tasks.enter()
        until_s = tasks.clock.monotonic() + 20

        async def now_and_then():
            while tasks.clock.monotonic() < until_s:
                await tasks.call(1)
                await tasks.clock.sleep(1)

        await asyncio.gather(tasks.work(0, until_s), now_and_then())

    run(tasks, scenario)
    starts = tasks.all_starts
    assert_within(20, starts)
    assert (len(starts) - 1) / (starts[-1] - starts[0]) / 20 >= 0.98
    assert 12 <= len(tasks.starts[1]) <= 20


def test_a_pause_that_one_learns_of_holds_for_all_within_100_ms_and_then_all_go_on_slower(shared):
    tasks, _ = shared(40)

    async def scenario():
        await tasks.enter()
        until_s = tasks.clock.monotonic() + 8
        working = asyncio.gather(*(tasks.work(task, until_s) for task in range(4)))
        await tasks.clock.sleep(2)
        turn = await tasks.limiters[2].acquire()
        paused_at_s = tasks.clock.monotonic()
        await turn.throttled(3)
        await working
        return paused_at_s

    paused_at_s = run(tasks, scenario)
    for starts in tasks.starts:
        assert not [start for start in starts if paused_at_s + 0.1 < start < paused_at_s + 3]
        assert [start for start in starts if start > paused_at_s + 3]
    after = [start for start in tasks.all_starts if start > paused_at_s + 3]
    assert 0.45 < (len(after) - 1) / (after[-1] - after[0]) / 40 < 0.6, "the pace was halved and recovers"
    assert [limiter.rate for limiter in tasks.limiters] == pytest.approx([tasks.limiters[0].rate] * 4, rel=0.1)


@pytest.mark.parametrize("rate", [0.5, 5, 50])
def test_slots_from_before_a_pause_are_void_however_short_it_is(shared, rate):
    tasks, _ = shared(rate, 6)

    async def scenario():
        await tasks.enter()
        until_s = tasks.clock.monotonic() + 40 / rate
        working = asyncio.gather(*(tasks.work(task, until_s) for task in range(6)))
        await tasks.clock.sleep(10.3 / rate)
        turn = await tasks.limiters[0].acquire()
        await turn.throttled(0)
        paused_at_s = tasks.clock.monotonic()
        await working
        return paused_at_s

    paused_at_s = run(tasks, scenario)
    assert_within(rate, tasks.all_starts)
    after = [start for start in tasks.all_starts if start > paused_at_s + 0.1]
    assert min(b - a for a, b in itertools.pairwise(after[: len(after) // 2])) > 1.3 / rate, "half the pace at once"


def test_a_pause_holds_for_those_who_are_on_their_way_to_the_wire(shared):
    tasks, _ = shared(5, 2)

    async def scenario():
        await tasks.enter()
        turn, other = [await limiter.acquire() for limiter in tasks.limiters]
        await tasks.clock.sleep(0.1)  # connecting
        await other.throttled(10)
        paused_at_s = tasks.clock.monotonic()
        await turn.starting()
        return tasks.clock.monotonic() - paused_at_s

    assert run(tasks, scenario) == pytest.approx(10, abs=0.1)


def test_many_that_were_let_go_before_the_pause_halve_the_pace_once(shared):
    tasks, _ = shared(10, 2)

    async def scenario():
        await tasks.enter()

        async def call(task):
            turn = await tasks.limiters[task].acquire()
            await tasks.clock.sleep(2)
            await turn.throttled(1)

        await asyncio.gather(*(call(task) for task in (0, 1, 0, 1, 0, 1)))
        rates = [tasks.limiters[0].rate]
        await call(1)
        await call(0)
        return [*rates, tasks.limiters[0].rate]

    assert run(tasks, scenario) == pytest.approx([5, 1.25])


def test_the_shared_pace_recovers_as_that_of_one_task(shared):
    tasks, _ = shared(20)

    async def scenario():
        await tasks.enter()
        turn = await tasks.limiters[3].acquire()
        await turn.throttled(0)
        begun_s = tasks.clock.monotonic()
        working = asyncio.gather(*(tasks.work(task, begun_s + 40) for task in range(4)))
        rates = []
        for _ in range(3):
            await tasks.clock.sleep(15)
            rates.append(tasks.limiters[0].rate)
        await working
        return rates

    # A sixtieth of the limit per second.
    assert run(tasks, scenario) == pytest.approx([15, 20, 20], rel=0.05)


def test_successes_from_before_a_second_pause_do_not_raise_the_pace(shared):
    tasks, _ = shared(10, 2)
    one, other = tasks.limiters

    async def scenario():
        await tasks.enter()
        turn = await one.acquire()
        await turn.throttled(0)
        turn = await other.acquire()
        for _ in range(5):
            await turn.succeeded()  # told with its next words
        turn = await one.acquire()
        await turn.throttled(0)
        turn = await other.acquire()
        rates = [one.rate, other.rate]
        await turn.succeeded()
        await other.acquire()
        return [*rates, other.rate]

    # By 1 / (60 * 0.25 * 10) of the limit for the one that began after it.
    assert run(tasks, scenario) == pytest.approx([2.5, 2.5, 2.5 + 10 / 150], rel=1e-4)


def test_a_worker_that_dies_leaves_nothing_locked(shared, redis_client):
    tasks, _ = shared(2.5)

    async def scenario():
        await tasks.enter()
        until_s = tasks.clock.monotonic() + 30
        doomed = asyncio.ensure_future(tasks.work(0, until_s))
        others = asyncio.gather(*(tasks.work(task, until_s) for task in (1, 2, 3)))
        await tasks.clock.sleep(5)
        doomed.cancel()  # and it never says another word
        await others
        return tasks.clock.monotonic()

    run(tasks, scenario)
    starts = tasks.all_starts
    assert_within(2.5, starts)
    gaps = [b - a for a, b in itertools.pairwise(starts)]
    assert max(gaps) < 2 / 2.5 + 0.05, "the one slot that it had"
    assert sum(gap > 1.2 / 2.5 for gap in gaps) <= 1
    assert all(redis_client.pttl(key) > 0 for key in redis_client.scan_iter("aigen*"))


def test_a_waiter_that_is_cancelled_costs_no_slot_and_holds_up_nobody(shared):
    tasks, _ = shared(10, 1)

    async def scenario():
        await tasks.enter()
        order = []

        async def take(name):
            await tasks.limiters[0].acquire()
            order.append((name, tasks.clock.monotonic()))

        waiting = [asyncio.create_task(take(name)) for name in range(6)]
        await tasks.clock.sleep(0.05)
        for name in (1, 3):  # the one who has the next slot, and one behind it
            waiting[name].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return order

    order = run(tasks, scenario)
    assert [name for name, _ in order] == [0, 2, 4, 5]
    assert order[-1][1] - order[0][1] == pytest.approx(3 / 9.85, abs=0.005)


def test_one_who_is_cancelled_while_redis_is_asked_goes_no_further(shared):
    tasks, server = shared(10, 1, redis_s=0.004)
    server.swallows = True

    async def scenario():
        await tasks.enter()
        limiter = tasks.limiters[0]

        async def call():
            turn = await limiter.acquire()
            await turn.starting()

        ended = []
        for thousandth in range(150):
            task = asyncio.create_task(call())
            await tasks.clock.sleep(thousandth / 1000)
            ended.append(task.cancel())
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled() == ended[-1]
        return ended

    assert sum(run(tasks, scenario)) >= 50


@pytest.mark.parametrize("hundredth", range(0, 100, 7))
def test_leaving_while_redis_is_lost_ends(shared, hundredth):
    tasks, server = shared(10, 1, redis_s=0.2)
    server.swallows = True

    async def scenario():
        await tasks.enter()
        server.is_up = False
        await tasks.limiters[0].acquire()
        await tasks.clock.sleep(hundredth / 100)
        await tasks.leave()
        return tasks.limiters[0]._link.background

    assert not run(tasks, scenario)


def test_redis_lost_and_found_stays_within_the_limit_and_never_stops(shared, caplog):
    caplog.set_level(logging.INFO)
    tasks, server = shared(40, shared_by=2)

    async def scenario():
        await tasks.enter()
        begun_s = tasks.clock.monotonic()
        working = asyncio.gather(*(tasks.work(task, begun_s + 20) for task in range(4)))
        await tasks.clock.sleep(4)
        server.is_up = False
        await tasks.clock.sleep(6)
        rates = [limiter.rate for limiter in tasks.limiters]
        server.is_up = True
        server._client.flushall()  # it was started again, empty
        await working
        return begun_s, rates

    begun_s, rates = run(tasks, scenario)
    starts = [start - begun_s for start in tasks.all_starts]
    assert_within(40, starts)
    assert rates == [10] * 4, "as many as Redis knew of, not only the two that the parameter says"
    assert max(b - a for a, b in itertools.pairwise(starts)) < 3.5
    assert [start for start in starts if 4.1 < start < 4.9] == [], "no shared start is in a window with another"
    assert max(b - a for a, b in itertools.pairwise(starts) if 10 < b < 14) > 1, (
        "nor one with theirs who come back later"
    )
    without = [start for start in starts if 5.5 < start < 10]
    assert len(without) / 4.5 / 40 > 0.9
    again = [start for start in starts if 13.5 < start < 20]
    assert (len(again) - 1) / (again[-1] - again[0]) / 40 > 0.98
    assert [record.levelname for record in caplog.records].count("WARNING") == 4, "one for each task"
    assert sum("Redis is back" in record.message for record in caplog.records) == 4


def test_it_warns_once_however_often_redis_is_lost(shared, caplog):
    tasks, server = shared(50, 1)

    async def scenario():
        await tasks.enter()
        working = asyncio.ensure_future(tasks.work(0, tasks.clock.monotonic() + 12))
        for _ in range(3):
            await tasks.clock.sleep(1)
            server.is_up = False
            await tasks.clock.sleep(2)
            server.is_up = True
        await working

    run(tasks, scenario)
    assert [record.levelname for record in caplog.records].count("WARNING") == 1


def test_a_pause_is_kept_while_redis_is_lost(shared):
    tasks, server = shared(10, 1)

    async def scenario():
        await tasks.enter()
        turn = await tasks.limiters[0].acquire()
        await turn.throttled(10)
        paused_at_s = tasks.clock.monotonic()
        server.is_up = False
        await tasks.limiters[0].acquire()
        return tasks.clock.monotonic() - paused_at_s

    assert run(tasks, scenario) == pytest.approx(10, abs=0.1)


def test_a_turn_from_a_time_without_redis_halves_the_shared_pace_once(shared):
    tasks, server = shared(10, 1)
    limiter = tasks.limiters[0]

    async def scenario():
        await tasks.enter()
        server.is_up = False
        turns = [await limiter.acquire() for _ in range(2)]
        server.is_up = True
        await tasks.clock.sleep(1)
        rates = []
        for turn in turns:
            await turn.throttled(5)
            rates.append(limiter.rate)
        return [turn.slot for turn in turns], rates

    assert run(tasks, scenario) == ([None, None], [5, 5])


def test_a_turn_of_redis_halves_the_own_pace_once_while_redis_is_lost(shared):
    tasks, server = shared(10, 1)
    limiter = tasks.limiters[0]

    async def scenario():
        await tasks.enter()
        turns = [await limiter.acquire() for _ in range(2)]
        server.is_up = False
        rates = []
        for turn in turns:
            await turn.throttled(1)
            rates.append(limiter.rate)
            await tasks.clock.sleep(2)
        await turns[0].succeeded()
        return all(turn.slot for turn in turns), [*rates, limiter.rate]

    assert run(tasks, scenario) == (True, [5, 5, 5])


def test_a_turn_from_a_time_without_redis_is_void_in_the_next_such_time(shared):
    """Shared slots were used in between: a window after them has to pass."""
    tasks, server = shared(5, 1)
    limiter = tasks.limiters[0]

    async def lose():
        turn = await limiter.acquire()
        server.is_up = False
        await turn.throttled(0)  # so it notices

    async def scenario():
        await tasks.enter()
        await lose()
        turn = await limiter.acquire()
        server.is_up = True
        await tasks.clock.sleep(1)
        await lose()
        lost_at_s = tasks.clock.monotonic()
        await turn.starting()
        return tasks.clock.monotonic() - lost_at_s

    assert run(tasks, scenario) == pytest.approx(1, abs=0.05)


def test_one_who_waits_without_redis_waits_anew_when_it_is_lost_again(shared):
    """Shared slots were used in between: a window after them has to pass."""
    tasks, server = shared(0.5, 1)
    limiter = tasks.limiters[0]

    async def scenario():
        await tasks.enter()
        turn = await limiter.acquire()
        server.is_up = False
        await turn.throttled(0)  # so it notices
        waiting = asyncio.ensure_future(limiter.acquire())
        await tasks.clock.sleep(0.5)
        server.is_up = True
        await tasks.clock.sleep(0.5)
        assert limiter._link.local is None
        server.is_up = False
        await turn.throttled(0)
        lost_at_s = tasks.clock.monotonic()
        await (await waiting).starting()
        return tasks.clock.monotonic() - lost_at_s

    assert run(tasks, scenario) == pytest.approx(2, abs=0.05)


def test_a_clock_that_is_set_back_stops_nobody(shared):
    tasks, server = shared(10, 2)

    async def scenario():
        await tasks.enter()
        working = asyncio.gather(*(tasks.work(task, tasks.clock.monotonic() + 10) for task in range(2)))
        await tasks.clock.sleep(3)
        server.set_back_s = 3600
        await working

    run(tasks, scenario)
    starts = tasks.all_starts
    assert_within(10, starts)
    assert max(b - a for a, b in itertools.pairwise(starts)) < 1.5


def test_those_who_name_another_connection_share_nothing(shared, redis_client):
    tasks, server = shared(10, 1)
    others = Tasks(server, tasks.clock, random.Random(2), 10, 1, name="aigen_other")

    async def scenario():
        await asyncio.gather(tasks.serve(4), others.serve(4))

    run(tasks, scenario)
    for made in (tasks, others):
        starts = made.all_starts
        assert (len(starts) - 1) / (starts[-1] - starts[0]) / 10 >= 0.98
    names = {key.rpartition(":")[0] for key in redis_client.scan_iter("aigen*")}
    assert names == {"aigen:limiter:{aigen_default}", "aigen:limiter:{aigen_other}"}


@pytest.mark.parametrize("rate", [0, -1, math.nan, math.inf, "5", None, True])
def test_a_limit_that_is_none_is_refused(shared, rate):
    with pytest.raises(ConfigurationError, match="requests_per_second"):
        shared(rate, 1)


@pytest.mark.parametrize("shared_by", [0, -1, 1.5])
def test_a_number_of_tasks_that_is_none_is_refused(shared, shared_by):
    with pytest.raises(ConfigurationError, match="limit_shared_by"):
        shared(5, 1, shared_by=shared_by)
