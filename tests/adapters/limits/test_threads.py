# SPDX-License-Identifier: Apache-2.0
"""The local limiter for callers in several threads, each with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.limits.local import LocalRateLimiter
from airflow_provider_aigen.adapters.limits.threads import ThreadQueue
from tests.waiting import until


def test_threads_share_one_limit():
    """80 calls of 8 threads at 200 per second: no window of a second's share has more than the limit allows."""
    clock = SystemClock()
    limiter = LocalRateLimiter(200, clock, ThreadQueue())
    started: list[float] = []

    async def call() -> None:
        turn = await limiter.acquire()
        await turn.starting()
        started.append(clock.monotonic())
        await turn.succeeded()

    def calls() -> None:
        for _ in range(10):
            asyncio.run(call())

    begun = clock.monotonic()
    with ThreadPoolExecutor(8) as threads:
        for done in [threads.submit(calls) for _ in range(8)]:
            done.result(timeout=30)
    assert len(started) == 80
    assert max(started) - begun >= 79 / 200 * 0.8, "the burst that the limiter allows is no more than this"


def test_a_queue_is_first_come_first_served_and_a_cancelled_waiter_leaves_it():
    queue = ThreadQueue()
    order: list[int] = []
    waiting = threading.Semaphore(0)
    all_wait, go = threading.Event(), threading.Event()

    async def one(number: int) -> None:
        async with queue:
            order.append(number)
            await asyncio.to_thread(go.wait)

    async def wait(number: int) -> None:
        task = asyncio.create_task(one(number))
        await asyncio.sleep(0)
        waiting.release()
        if number == 2:
            await asyncio.to_thread(all_wait.wait)
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    threads = [threading.Thread(target=asyncio.run, args=(wait(number),)) for number in range(5)]
    for thread in threads:
        thread.start()
        assert waiting.acquire(timeout=10)
    all_wait.set()
    until("the cancelled one has left", lambda: not threads[2].is_alive())
    go.set()
    for thread in threads:
        thread.join(timeout=10)
    assert order == [0, 1, 3, 4]


def test_a_waiter_that_is_cancelled_as_its_turn_comes_passes_it_on():
    queue = ThreadQueue()
    got: list[str] = []

    async def take(name: str) -> None:
        async with queue:
            got.append(name)

    async def scenario() -> None:
        async with queue:
            cancelled, next_one = (asyncio.create_task(take(name)) for name in ("cancelled", "next"))
            await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.wait_for(next_one, 10)

    asyncio.run(scenario())
    assert got == ["next"]
