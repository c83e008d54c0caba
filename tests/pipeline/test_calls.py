# SPDX-License-Identifier: Apache-2.0
"""One request until its answer is kept: slots, pauses, budgets, the breaker."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_aigen.core.config import PipelineConfig, RetryConfig
from airflow_provider_aigen.core.errors import (
    AuthenticationError,
    ContractError,
    ServiceUnavailableError,
    StoppedError,
)
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.core.service.breaker import BreakerState
from airflow_provider_aigen.core.service.wire import encode_request
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.pipeline.calls import Caller, CallHistory, Failure, FinalResult
from airflow_provider_aigen.ports import NoObserver
from tests.kit.clock import FakeClock
from tests.kit.limiter import EvenLimiter
from tests.kit.ocr import ScriptedOcr, answer, png, refusal

BROKEN = ApiResponse(500, b"", 0.5)
DOWN = ApiResponse(503, b"", 0.5)
THROTTLED = ApiResponse(429, b"", 0.5)
PATIENCE = ApiResponse(429, b"", 0.5, retry_after="7")
UNREACHABLE = CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.5)
GOOD = answer({"color": "red"})


class Bench:
    def __init__(self, *, max_in_flight: int = 4, billed_budget: int = 10, **retry: Any) -> None:
        self.clock = FakeClock()
        self.ocr = ScriptedOcr(self.clock)
        self.limiter = EvenLimiter(self.clock)
        self.stop = Stop()
        self.kept: list[FinalResult] = []
        self.keep_s = 0.0
        self.most_unkept = 0
        self.caller = Caller(
            self.ocr,
            self.limiter,
            self.clock,
            self.stop,
            config=PipelineConfig(max_in_flight=max_in_flight, retry=RetryConfig(**retry)),
            billed_budget=billed_budget,
            jitter=lambda: 0.5,
            observer=NoObserver(),
        )

    async def keep(self, final: FinalResult) -> FinalResult:
        if self.keep_s:
            await self.clock.sleep(self.keep_s)
        self.kept.append(final)
        return final

    def call(self, name: str, *script: ApiResponse | CallFailure) -> Coroutine[Any, Any, FinalResult | Failure]:
        image = png(name)
        if script:
            self.ocr.answers[image] = script
        return self.caller.call(encode_request(image), self.keep)

    def times(self, name: str) -> int:
        return self.ocr.times(png(name))

    async def all(self, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
        return await self.clock.run(asyncio.gather(*calls, return_exceptions=True))


def go(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_a_settled_call_is_what_keep_made_of_it():
    async def scenario() -> None:
        bench = Bench()
        (final,) = await bench.all(bench.call("a", GOOD))
        assert final.result is GOOD
        assert final.attempts == 1
        assert final.received_at == bench.clock.now()
        assert (bench.limiter.started, bench.limiter.successes) == (1, 1), "its turn heard of both"

    go(scenario())


def test_a_slot_is_held_until_the_answer_is_kept():
    async def scenario() -> None:
        bench = Bench(max_in_flight=2)
        bench.keep_s = 10.0
        calls = asyncio.ensure_future(asyncio.gather(*(bench.call(str(number)) for number in range(6))))
        await bench.clock.advance(5.0)
        assert len(bench.ocr.calls) == 2, "answered, but not kept"
        assert bench.ocr.in_flight == 0
        await bench.clock.run(calls)
        assert [call.began_at - 1000 for call in bench.ocr.calls] == [0, 0, 11, 11, 22, 22]

    go(scenario())


def test_a_slot_is_free_while_a_call_backs_off():
    async def scenario() -> None:
        bench = Bench(max_in_flight=1)
        await bench.all(bench.call("a", DOWN, DOWN, GOOD), bench.call("b"), bench.call("c"))
        assert [call.image for call in bench.ocr.calls[:2]] == [png("a"), png("b")]
        assert bench.times("a") == 3
        assert bench.ocr.most_in_flight == 1

    go(scenario())


def test_what_keep_raises_is_raised():
    class Full(Exception):
        pass

    async def keep(final: FinalResult) -> None:
        raise Full

    async def scenario() -> None:
        bench = Bench()
        with pytest.raises(Full):
            await bench.clock.run(bench.caller.call(encode_request(png("a")), keep))
        assert bench.caller.in_flight == set()

    go(scenario())


# --- retries and their budgets ------------------------------------------------------------------------------------


def test_calls_that_never_left_are_retried_freely():
    async def scenario() -> None:
        bench = Bench(billed_budget=0)
        (final,) = await bench.all(bench.call("a", *[UNREACHABLE] * 5, GOOD))
        assert final.attempts == 6
        assert (bench.caller.calls, bench.caller.billed_retries) == (6, 0)

    go(scenario())


def test_one_billed_retry_a_document_and_so_many_a_run_and_none_before_it_is_asked_for():
    async def scenario() -> None:
        bench = Bench(billed_budget=2, max_in_flight=1)
        results = [await bench.clock.run(bench.call(name, BROKEN, BROKEN, GOOD)) for name in "abc"]
        assert [(type(result), result.status, result.attempts.calls) for result in results] == [(Failure, 500, 1)] * 3
        assert [bench.times(name) for name in "abc"] == [1, 1, 1]
        again = [bench.caller.again(result, suspect=True) for result in results]
        assert again[2] is None, "the run's budget is spent"
        repeated = [
            await bench.clock.run(bench.caller.call(encode_request(png(name)), bench.keep, history=history))
            for name, history in zip("ab", again, strict=False)
        ]
        assert [result.attempts.calls for result in repeated] == [2, 2]
        assert [bench.caller.again(result, suspect=True) for result in repeated] == [None, None], "so is their own"
        assert (bench.caller.calls, bench.caller.billed_retries) == (5, 2)

    go(scenario())


def test_one_more_call_when_all_free_retries_are_spent_and_the_service_is_well_again():
    async def scenario() -> None:
        bench = Bench(billed_budget=0)
        (failure,) = await bench.all(bench.call("a", DOWN))
        assert bench.times("a") == 6
        history = bench.caller.again(failure, suspect=True)
        (failure,) = await bench.all(bench.caller.call(encode_request(png("a")), bench.keep, history=history))
        assert (bench.times("a"), failure.attempts.calls, bench.caller.billed_retries) == (7, 7, 0)

    go(scenario())


def test_a_retry_that_was_put_off_keeps_its_backoff_and_the_deadline():
    async def scenario() -> None:
        bench = Bench(document_deadline_s=60.0)
        (failure,) = await bench.all(bench.call("a", ApiResponse(500, b"", 0.5, retry_after="7"), GOOD))
        history = bench.caller.again(failure, suspect=False)
        (final,) = await bench.all(bench.caller.call(encode_request(png("a")), bench.keep, history=history))
        assert isinstance(final, FinalResult)
        assert [call.began_at - 1000 for call in bench.ocr.calls] == [0.0, 8.0]
        (failure,) = await bench.all(bench.call("b", BROKEN))
        await bench.clock.advance(60.0)
        assert bench.caller.again(failure, suspect=False) is None

    go(scenario())


def test_failures_of_what_is_suspect_open_no_breaker():
    async def scenario() -> None:
        bench = Bench(max_in_flight=16)
        for number in range(20):
            image = png(str(number))
            bench.ocr.answers[image] = [BROKEN]
            await bench.all(bench.caller.call(encode_request(image), bench.keep, history=CallHistory(suspect=True)))
        assert bench.caller.breaker.state(bench.clock.monotonic()) is BreakerState.CLOSED

    go(scenario())


def test_backoff_grows_with_full_jitter():
    async def scenario() -> None:
        bench = Bench()
        await bench.all(bench.call("a", DOWN, DOWN, DOWN, GOOD))
        began = [call.began_at for call in bench.ocr.calls]
        assert [after - before - 1.0 for before, after in pairwise(began)] == [0.25, 0.5, 1.0]

    go(scenario())


def test_nothing_is_retried_past_the_deadline():
    async def scenario() -> None:
        bench = Bench(document_deadline_s=1.2)
        (result,) = await bench.all(bench.call("a", DOWN))
        assert isinstance(result, Failure)
        assert bench.times("a") == 1, "the answer took 1 s, the next pause would be 0.25 s"

    go(scenario())


# --- 429 ----------------------------------------------------------------------------------------------------------


def test_a_pause_that_one_caller_is_asked_for_holds_for_all():
    async def scenario() -> None:
        bench = Bench(max_in_flight=1)
        await bench.all(bench.call("a", PATIENCE, GOOD), bench.call("b"), bench.call("c"))
        assert [round(call.began_at - 1000) for call in bench.ocr.calls] == [0, 8, 9, 10]
        assert bench.limiter.pauses == [7.0]

    go(scenario())


# --- breaker ------------------------------------------------------------------------------------------------------


def test_ten_failures_in_a_row_stop_new_calls_until_a_probe_succeeds():
    async def scenario() -> None:
        bench = Bench(max_in_flight=16)
        failing = [bench.call(str(number), DOWN, GOOD) for number in range(10)]
        waiting = asyncio.ensure_future(asyncio.gather(*failing))
        await bench.clock.advance(1.1)
        assert bench.caller.breaker.state(bench.clock.monotonic()) is BreakerState.OPEN
        await bench.clock.advance(20.0)
        assert len(bench.ocr.calls) == 10, "nobody calls while it is open"
        await bench.clock.advance(10.4)
        assert len(bench.ocr.calls) == 11, "one of them probes"
        results = await bench.clock.run(waiting)
        assert all(isinstance(result, FinalResult) for result in results)
        assert bench.caller.breaker.state(bench.clock.monotonic()) is BreakerState.CLOSED
        assert bench.kept[0].attempts == 2, "the probe is a document whose answer is kept"

    go(scenario())


def test_with_the_breaker_open_nobody_gives_up_on_a_document():
    async def scenario() -> None:
        bench = Bench(max_in_flight=16, billed_budget=0)
        results = await bench.all(*(bench.call(str(number), BROKEN) for number in range(12)))
        assert sum(isinstance(result, Failure) for result in results) == 9, "undecided: the breaker was closed still"
        assert sum(isinstance(result, ServiceUnavailableError) for result in results) == 3

    go(scenario())


def test_a_probe_that_is_cancelled_leaves_the_probe_to_the_next():
    async def scenario() -> None:
        bench = Bench(max_in_flight=16)
        for _ in range(10):
            bench.caller.breaker.record_failure(bench.clock.monotonic())
        await bench.clock.advance(31.0)
        probe = asyncio.ensure_future(bench.call("a"))
        await bench.clock.advance(0.5)
        assert bench.times("a") == 1
        other = asyncio.ensure_future(bench.call("b"))
        await bench.clock.advance(0.4)
        assert bench.times("b") == 0
        probe.cancel()
        assert isinstance(await bench.clock.run(other), FinalResult)

    go(scenario())


# --- what stops the run -------------------------------------------------------------------------------------------


def test_what_aborts_the_run_is_raised_at_once():
    async def scenario() -> None:
        bench = Bench()
        (error,) = await bench.all(bench.call("a", ApiResponse(401, b"", 0.5)))
        assert isinstance(error, AuthenticationError)
        assert bench.times("a") == 1

    go(scenario())


def test_twenty_unknown_codes_in_a_row_are_a_new_contract_and_each_is_kept():
    async def scenario() -> None:
        bench = Bench(max_in_flight=1)
        bench.ocr.default = lambda image: refusal(400, "brand_new")
        results = [await bench.all(bench.call(str(number))) for number in range(20)]
        assert [type(result) for (result,) in results] == [FinalResult] * 19 + [ContractError]
        assert len(bench.kept) == 20

    go(scenario())


def test_a_known_answer_between_unknown_codes_counts_anew():
    async def scenario() -> None:
        bench = Bench(max_in_flight=1)
        bench.ocr.default = lambda image: refusal(400, "brand_new")
        for number in range(60):
            script = (refusal(400, "1001"),) if number % 19 == 18 else ()
            (result,) = await bench.all(bench.call(str(number), *script))
            assert isinstance(result, FinalResult)

    go(scenario())


def test_no_call_begins_after_a_stop():
    async def scenario() -> None:
        bench = Bench()
        bench.stop.set(StoppedError("told to"))
        (result,) = await bench.all(bench.call("a"))
        assert isinstance(result, asyncio.CancelledError)
        assert bench.ocr.calls == []

    go(scenario())


def test_a_stop_while_waiting_for_a_turn():
    async def scenario() -> None:
        bench = Bench()
        await bench.limiter.throttled(60.0)
        waiting = asyncio.ensure_future(asyncio.gather(bench.call("a"), return_exceptions=True))
        await bench.clock.advance(1.0)
        assert bench.caller.in_flight == set(), "a stop need not wait for it"
        bench.stop.set(StoppedError("told to"))
        (result,) = await bench.clock.run(waiting)
        assert isinstance(result, asyncio.CancelledError)
        assert bench.ocr.calls == []

    go(scenario())


def test_a_call_is_in_flight_until_its_answer_is_kept():
    async def scenario() -> None:
        bench = Bench()
        bench.keep_s = 5.0
        task = asyncio.ensure_future(bench.call("a"))
        await bench.clock.advance(3.0)
        assert bench.caller.in_flight == {task}
        bench.stop.set(StoppedError("told to"))
        assert isinstance(await bench.clock.run(task), FinalResult), "an answer that is there is kept"
        assert bench.caller.in_flight == set()

    go(scenario())
