# SPDX-License-Identifier: Apache-2.0
"""One request until its answer is kept: slots, pauses, retries, the breaker."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest

from airflow_provider_aigen.core.config import PipelineConfig, RetryConfig
from airflow_provider_aigen.core.errors import (
    AccountError,
    AuthenticationError,
    ContractError,
    ServiceUnavailableError,
    StoppedError,
)
from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.core.service.breaker import BreakerState
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.request import FailedCall, Received, Request
from tests.kit.clock import FakeClock
from tests.kit.limiter import EvenLimiter
from tests.kit.observer import RecordingObserver
from tests.kit.ocr import ScriptedOcr, answer, png, refusal

BROKEN = ApiResponse(500, b"", 0.5)
DOWN = ApiResponse(503, b"", 0.5)
THROTTLED = ApiResponse(429, b"", 0.5)
PATIENCE = ApiResponse(429, b"", 0.5, retry_after="7")
UNREACHABLE = CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.5)
GOOD = answer({"color": "red"})


class Bench:
    def __init__(self, *, max_in_flight: int = 4, **retry: Any) -> None:
        self.clock = FakeClock()
        self.ocr = ScriptedOcr(self.clock)
        self.limiter = EvenLimiter(self.clock)
        self.stop = Stop()
        self.kept: list[Received] = []
        self.keep_s = 0.0
        self.observer = RecordingObserver()
        self.caller = Caller(
            self.ocr,
            self.limiter,
            self.clock,
            self.stop,
            self.observer,
            config=PipelineConfig(max_in_flight=max_in_flight, retry=RetryConfig(**retry)),
            jitter=lambda: 0.5,
        )

    async def keep(self, received: Received) -> Received:
        if self.keep_s:
            await self.clock.sleep(self.keep_s)
        self.kept.append(received)
        return received

    def call(
        self, name: str, *script: ApiResponse | CallFailure, on_its_way_s: float = 0.0, **facts: Any
    ) -> Coroutine[Any, Any, Received | FailedCall]:
        image = png(name)
        if script:
            self.ocr.answers[image] = script

        async def instead() -> None:
            if on_its_way_s:
                await self.clock.sleep(on_its_way_s)

        return self.caller.call(Request(name, image, **facts), self.keep, instead)

    @property
    def state(self) -> BreakerState:
        return self.caller.health.breaker.state(self.clock.monotonic())

    def times(self, name: str) -> int:
        return self.ocr.times(png(name))

    async def all(self, *calls: Coroutine[Any, Any, Any]) -> list[Any]:
        return await self.clock.run(asyncio.gather(*calls, return_exceptions=True))


def go(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def test_an_answered_call_is_what_keep_made_of_it():
    async def scenario() -> None:
        bench = Bench()
        (received,) = await bench.all(bench.call("a", GOOD))
        assert received.result is GOOD
        assert received.attempts == 1
        assert received.received_at == bench.clock.now()
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
        assert [round(call.began_at - 1000, 1) for call in bench.ocr.calls] == [0, 0, 11, 11, 22, 22]

    go(scenario())


def test_calls_do_not_come_in_waves():
    async def scenario() -> None:
        bench = Bench(max_in_flight=4)
        await bench.all(*(bench.call(str(number)) for number in range(16)))
        begun = [round(call.began_at - 1000, 2) for call in bench.ocr.calls]
        assert begun[:4] == [0, 0, 0, 0]
        assert begun[-4:] == [3.0, 3.01, 3.02, 3.03]

    go(scenario())


def test_a_slot_is_free_while_a_call_backs_off():
    async def scenario() -> None:
        bench = Bench(max_in_flight=1)
        await bench.all(bench.call("a", UNREACHABLE, UNREACHABLE, GOOD), bench.call("b"), bench.call("c"))
        assert [call.image for call in bench.ocr.calls[:2]] == [png("a"), png("b")]
        assert bench.times("a") == 3
        assert bench.ocr.most_in_flight == 1

    go(scenario())


def test_what_keep_raises_is_raised():
    class Full(Exception):
        pass

    async def keep(received: Received) -> None:
        raise Full

    async def scenario() -> None:
        bench = Bench()
        with pytest.raises(Full):
            await bench.clock.run(bench.caller.call(Request("a", png("a")), keep))
        assert bench.caller.in_flight == set()

    go(scenario())


def test_what_is_there_instead_costs_no_call():
    """It is asked for when the turn has come, which may have taken long: before each call, not once."""

    async def scenario() -> None:
        bench = Bench()
        bench.ocr.answers[png("a")] = [UNREACHABLE]
        asked: list[float] = []

        async def instead() -> str | None:
            asked.append(bench.clock.monotonic() - 1000)
            return "found" if len(asked) == 3 else None

        await bench.limiter.throttled(60.0)
        assert await bench.clock.run(bench.caller.call(Request("a", png("a")), bench.keep, instead)) == "found"
        assert asked == [60.0, 61.25, 62.75]
        assert (bench.times("a"), bench.caller.calls, bench.caller.in_flight) == (2, 2, set())

    go(scenario())


# --- what failed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [BROKEN, DOWN, CallFailure(FailureKind.RESET, sent=True, latency_s=0.5)])
def test_a_call_that_failed_is_handed_back_and_not_made_again(failure):
    """Whether it is made again, and when, depends on what others are answered: the feed decides it."""

    async def scenario() -> None:
        bench = Bench()
        began = bench.clock.now()
        (failed,) = await bench.all(bench.call("a", failure, GOOD))
        assert isinstance(failed, FailedCall)
        assert (failed.calls, failed.latency_s, bench.times("a")) == (1, 0.5, 1)
        assert (failed.called_at, failed.failed_at) == (began, 1001.0)
        assert bench.kept == []

    go(scenario())


def test_calls_that_never_left_are_made_again_freely():
    async def scenario() -> None:
        bench = Bench()
        (received,) = await bench.all(bench.call("a", *[UNREACHABLE] * 5, GOOD))
        assert received.attempts == 6
        assert (bench.caller.calls, bench.caller.paid_calls, bench.caller.repeated_calls) == (6, 1, 0)

    go(scenario())


@pytest.mark.parametrize("answered_before", [False, True])
def test_what_cannot_be_reached_after_six_calls_is_a_failed_call(answered_before):
    """One document alone ends no run."""

    async def scenario() -> None:
        bench = Bench()
        if answered_before:
            await bench.all(bench.call("a"))
        (failed,) = await bench.all(bench.call("b", UNREACHABLE))
        assert isinstance(failed, FailedCall)
        assert (failed.calls, failed.verdict.billed, bench.times("b")) == (6, False, 6)

    go(scenario())


@pytest.mark.parametrize("may_repeat", [False, True])
def test_only_a_call_that_repeats_one_on_the_bill_is_counted_as_a_repeat(may_repeat):
    async def scenario() -> None:
        bench = Bench()
        script = (UNREACHABLE, UNREACHABLE, GOOD)
        await bench.all(bench.call("a", *script, failures=1, may_repeat=may_repeat))
        assert bench.times("a") == 3
        assert bench.caller.repeated_calls == bench.observer.times["repeated"] == may_repeat

    go(scenario())


@pytest.mark.parametrize("facts", [{"failures": 1}, {"letter": True}])
def test_failures_of_what_failed_before_open_no_breaker(facts):
    async def scenario() -> None:
        bench = Bench(max_in_flight=16)
        bench.ocr.default = lambda image: BROKEN
        for number in range(20):
            await bench.all(bench.call(str(number), **facts))
        assert bench.state is BreakerState.CLOSED
        for number in range(10):
            await bench.all(bench.call(f"new {number}"))
        assert bench.state is BreakerState.OPEN

    go(scenario())


def test_backoff_grows_with_full_jitter():
    async def scenario() -> None:
        bench = Bench()
        await bench.all(bench.call("a", UNREACHABLE, UNREACHABLE, UNREACHABLE, GOOD))
        began = [call.began_at for call in bench.ocr.calls]
        assert [after - before - 1.0 for before, after in pairwise(began)] == [0.25, 0.5, 1.0]

    go(scenario())


def test_nothing_is_made_again_past_the_deadline():
    async def scenario() -> None:
        bench = Bench(document_deadline_s=1.2)
        await bench.all(bench.call("a"))
        (failed,) = await bench.all(bench.call("b", UNREACHABLE))
        assert isinstance(failed, FailedCall)
        assert bench.times("b") == 1, "the answer took 1 s, the next pause would be 0.25 s"

    go(scenario())


# --- 429 ----------------------------------------------------------------------------------------------------------


def test_a_pause_that_one_caller_is_asked_for_holds_for_all():
    async def scenario() -> None:
        bench = Bench(max_in_flight=1)
        await bench.all(bench.call("a", PATIENCE, GOOD), bench.call("b"), bench.call("c"))
        assert [round(call.began_at - 1000) for call in bench.ocr.calls] == [0, 8, 9, 10]
        assert bench.limiter.pauses == [7.0]

    go(scenario())


def test_a_pause_is_known_while_it_lasts():
    async def scenario() -> None:
        bench = Bench()
        calling = asyncio.ensure_future(bench.call("a", PATIENCE, GOOD))
        await bench.clock.advance(2.0)
        assert bench.limiter.paused_until_s == 1008.0
        await bench.clock.run(calling)

    go(scenario())


def test_a_retry_after_that_is_longer_than_a_document_has_patience_ends_the_run():
    async def scenario() -> None:
        bench = Bench(document_deadline_s=60.0)
        (error,) = await bench.all(bench.call("a", ApiResponse(429, b"", 0.5, retry_after="90")))
        assert isinstance(error, ServiceUnavailableError)
        assert error.retry_after_s == 90.0

    go(scenario())


def test_429_without_retry_after_ends_the_run_after_two_pauses_that_grow():
    async def scenario() -> None:
        bench = Bench()
        (error,) = await bench.all(bench.call("a", THROTTLED))
        assert isinstance(error, AccountError)
        assert "credit" in str(error)
        assert "requests_per_second" in str(error)
        assert bench.times("a") == 3
        assert bench.limiter.pauses == [2.0, 8.0]

    go(scenario())


@pytest.mark.parametrize("in_flight", [1, 4, 16])
def test_a_burst_of_429_in_flight_counts_once(in_flight):
    """So the third one ends the run, however many calls are in flight."""

    async def scenario() -> None:
        bench = Bench(max_in_flight=in_flight)
        bench.ocr.default = lambda image: THROTTLED
        calls = [asyncio.ensure_future(bench.call(str(number))) for number in range(in_flight)]
        done, others = await bench.clock.run(asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED))
        assert {type(call.exception()) for call in done} == {AccountError}
        assert bench.clock.monotonic() - 1000 < 30.0
        assert bench.limiter.pauses == [2.0] * in_flight + [8.0] * in_flight
        for call in others:
            call.cancel()

    go(scenario())


def test_429_that_passes_costs_nothing():
    async def scenario() -> None:
        bench = Bench()
        (received,) = await bench.all(bench.call("a", THROTTLED, THROTTLED, GOOD))
        assert received.attempts == 3
        assert (bench.caller.paid_calls, bench.caller.repeated_calls) == (1, 0)

    go(scenario())


# --- breaker ------------------------------------------------------------------------------------------------------


async def _opened(bench: Bench) -> None:
    """The breaker opens now."""
    for number in range(10):
        failed = (await bench.all(bench.call(f"down {number}", DOWN)))[0]
        assert isinstance(failed, FailedCall)
    assert bench.state is BreakerState.OPEN


def test_ten_failures_in_a_row_stop_new_calls_until_a_probe_succeeds():
    async def scenario() -> None:
        bench = Bench(max_in_flight=16)
        await _opened(bench)
        waiting = asyncio.ensure_future(asyncio.gather(*(bench.call(str(number)) for number in range(10))))
        await bench.clock.advance(29.5)
        assert len(bench.ocr.calls) == 10, "nobody calls while it is open"
        await bench.clock.advance(0.6)
        assert len(bench.ocr.calls) == 11, "one of them probes"
        results = await bench.clock.run(waiting)
        assert all(isinstance(result, Received) for result in results)
        assert bench.state is BreakerState.CLOSED
        assert len(bench.kept) == 10, "the probe is a document whose answer is kept"
        assert bench.observer.times["breaker_opened"] == 1

    go(scenario())


def test_three_failed_probes_end_the_run():
    async def scenario() -> None:
        bench = Bench(max_in_flight=16)
        await _opened(bench)
        began = bench.clock.monotonic()
        results = [(await bench.all(bench.call(f"probe {number}", BROKEN)))[0] for number in range(3)]
        assert [type(result) for result in results] == [FailedCall, FailedCall, ServiceUnavailableError]
        assert 210 <= bench.clock.monotonic() - began < 215, "cool-downs of 30, 60 and 120 s"

    go(scenario())


def test_a_probe_that_is_cancelled_leaves_the_probe_to_the_next():
    async def scenario() -> None:
        bench = Bench(max_in_flight=16)
        await _opened(bench)
        await bench.clock.advance(31.0)
        probe = asyncio.ensure_future(bench.call("a"))
        await bench.clock.advance(0.5)
        assert bench.times("a") == 1
        other = asyncio.ensure_future(bench.call("b"))
        await bench.clock.advance(0.4)
        assert bench.times("b") == 0
        probe.cancel()
        assert isinstance(await bench.clock.run(other), Received)

    go(scenario())


# --- what stops the run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result",
    [refusal(401, "unauthorized"), refusal(403, "forbidden"), *(ApiResponse(s, b"", 0.5) for s in (404, 405, 302))],
)
def test_a_wrong_key_or_endpoint_is_raised_at_once(result):
    async def scenario() -> None:
        bench = Bench()
        (error,) = await bench.all(bench.call("a", result))
        assert isinstance(error, AuthenticationError)
        assert str(result.status) in str(error)
        assert bench.times("a") == 1

    go(scenario())


@pytest.mark.parametrize("result", [refusal(402, "insufficient_credit"), refusal(429, "quota_exceeded")])
def test_an_account_without_credit_is_raised_at_once(result):
    async def scenario() -> None:
        bench = Bench()
        (error,) = await bench.all(bench.call("a", result))
        assert isinstance(error, AccountError)
        assert bench.times("a") == 1

    go(scenario())


def test_a_certificate_that_is_not_good_is_raised_at_once():
    async def scenario() -> None:
        bench = Bench()
        (error,) = await bench.all(bench.call("a", CallFailure(FailureKind.TLS, sent=False, latency_s=0.1)))
        assert isinstance(error, AuthenticationError)
        assert bench.times("a") == 1

    go(scenario())


def test_twenty_unknown_codes_in_a_row_are_a_new_contract_and_each_is_kept():
    async def scenario() -> None:
        bench = Bench(max_in_flight=1)
        bench.ocr.default = lambda image: refusal(400, "brand_new")
        results = [await bench.all(bench.call(str(number))) for number in range(20)]
        assert [type(result) for (result,) in results] == [Received] * 19 + [ContractError]
        assert len(bench.kept) == 20

    go(scenario())


def test_a_known_answer_between_unknown_codes_counts_anew():
    async def scenario() -> None:
        bench = Bench(max_in_flight=1)
        bench.ocr.default = lambda image: refusal(400, "brand_new")
        for number in range(60):
            script = (refusal(400, "1001"),) if number % 19 == 18 else ()
            (result,) = await bench.all(bench.call(str(number), *script))
            assert isinstance(result, Received)

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


def test_a_stop_while_a_call_is_on_its_way_to_the_wire():
    """It waits for S3, or for its connection. Sent now it would hardly be answered within the grace time, and be paid
    for again."""

    async def scenario() -> None:
        bench = Bench()
        task = asyncio.ensure_future(bench.call("a", on_its_way_s=3.0))
        await bench.clock.advance(1.0)
        bench.stop.set(StoppedError("told to"))
        with pytest.raises(asyncio.CancelledError):
            await bench.clock.run(task)
        assert bench.ocr.calls == []
        assert (bench.caller.calls, bench.caller.paid_calls) == (0, 0)

    go(scenario())


def test_a_call_is_in_flight_until_its_answer_is_kept():
    async def scenario() -> None:
        bench = Bench()
        bench.keep_s = 5.0
        task = asyncio.ensure_future(bench.call("a"))
        await bench.clock.advance(3.0)
        assert bench.caller.in_flight == {task}
        bench.stop.set(StoppedError("told to"))
        assert isinstance(await bench.clock.run(task), Received), "an answer that is there is kept"
        assert bench.caller.in_flight == set()

    go(scenario())
