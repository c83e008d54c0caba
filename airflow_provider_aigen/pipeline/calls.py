# SPDX-License-Identifier: Apache-2.0
"""One request until its answer is kept: slot, turn, breaker, call, classify, retry (design §5).

An answer is kept before its slot is given free, so that a crash costs at most ``max_in_flight`` calls a second time
(design §3.3). A call that failed is not made again here: the document is a suspect, and the feed asks for its next
call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.models import ApiResponse, CallFailure
from airflow_provider_aigen.core.service.breaker import BreakerState
from airflow_provider_aigen.core.service.classify import classify
from airflow_provider_aigen.core.service.health import CallRecord, Health
from airflow_provider_aigen.core.service.retry import Attempts, Decision, EndRun, Keep, Later, Retry, decide
from airflow_provider_aigen.core.service.spacing import Spacing
from airflow_provider_aigen.core.service.verdicts import Failed, is_paid
from airflow_provider_aigen.pipeline.budget import Budget
from airflow_provider_aigen.pipeline.request import FailedCall, Received, Request
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.pipeline.timing import beside, reading_takes
from airflow_provider_aigen.ports import Clock, Observer, OcrClient, RateLimiter, Turn

__all__ = ["Caller"]

T = TypeVar("T")


async def _nothing_instead() -> None:
    """For a request that shares its document with nobody."""


class _MayNotBegin(Exception):
    """The call was on its way to the wire, and nothing of it has left."""


class Caller:
    """Makes the calls of one try, and counts them. ``health`` is what they show of the service, ``in_flight`` has the
    tasks whose call a stop lets finish. ``sent_at`` has when the calls began that wait for their answer (monotonic),
    ``queued`` counts those that wait for a turn."""

    def __init__(
        self,
        client: OcrClient,
        limiter: RateLimiter,
        clock: Clock,
        stop: Stop,
        observer: Observer,
        *,
        config: PipelineConfig,
        jitter: Callable[[], float],
        budget: Budget | None = None,
    ) -> None:
        self._client = client
        self._limiter = limiter
        self._clock = clock
        self._stop = stop
        self._observer = observer
        self._config = config.retry
        self._jitter = jitter
        self._budget = budget or Budget()
        self._slots = asyncio.Semaphore(config.max_in_flight)
        self._spacing = Spacing(config.max_in_flight)
        self._probe: asyncio.Task[object] | None = None
        self.health = Health(
            unknown_code_limit=config.retry.unknown_code_limit,
            pauses_s=config.retry.pauses_s,
            cooldown_s=config.retry.breaker_cooldown_s,
        )
        self.calls = 0
        self.repeated_calls = 0
        self.waited_s = 0.0
        self.last_call_at = clock.monotonic()
        self.sent_at: dict[asyncio.Task[object] | None, float] = {}
        self.queued = 0
        self.in_flight: set[asyncio.Task[object]] = set()

    async def call(
        self,
        request: Request,
        keep: Callable[[Received], Awaitable[T]],
        instead: Callable[[], Awaitable[T | None]] = _nothing_instead,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> T | FailedCall:
        """Send the image until there is an answer, and return what ``keep`` made of it, or the call that failed.

        ``instead`` is awaited before each call, which may have waited long for its turn: what it returns, unless None,
        is returned in place of a call. ``may_begin`` is asked when the next thing is the first byte on the wire. Where
        it is False nothing is sent, and the call waits for another turn. Raises what ends the run:
        ``AuthenticationError``, ``AccountError``, ``ContractError``, ``SpendLimitError``, ``ServiceUnavailableError``,
        and what ``keep`` and ``instead`` raise."""
        attempts, first_call_at = Attempts(), None
        while True:
            async with self._slots, self._budget.one_call():
                turn = await self._turn(request)
                with self._in_flight():
                    if (found := await instead()) is not None:
                        return found
                    called_at, began_at = self._clock.now(), self._clock.monotonic()
                    first_call_at = began_at if first_call_at is None else first_call_at
                    repeats = request.may_repeat and attempts.calls == 1
                    result = await self._send(request.image, turn, may_begin, repeats=repeats)
                    if result is None:
                        self.raise_if_stopped()
                        continue
                    record = await self._record(request, result, began_at)
                    error = await self._learn(record, turn)
                    decision = self._decide(record, attempts, first_call_at)
                    if isinstance(decision, Keep):
                        calls = request.calls + attempts.calls
                        received = Received(result, record.verdict, calls, self._clock.now())
                        kept = await keep(received)
                        if error is not None:
                            raise error
                        return kept
            if error is not None:
                raise error
            match decision, record.verdict:
                case EndRun(error=ending), _:
                    raise ending
                case Later(), Failed() as failed:
                    return FailedCall(failed, attempts.calls, result.latency_s, called_at, record.ended_at)
                case Retry() as retry, verdict:
                    attempts = attempts.after(verdict)
                    await self._back_off(retry, turn)

    @property
    def paid_calls(self) -> int:
        """How many calls may be on the bill."""
        return self._budget.paid_calls

    def raise_if_stopped(self) -> None:
        """End this task where the run is being stopped: no call begins any more."""
        if self._stop.is_set:
            raise asyncio.CancelledError

    async def _send(
        self, image: bytes, turn: Turn, may_begin: Callable[[], bool], *, repeats: bool
    ) -> ApiResponse | CallFailure | None:
        """None where the call may not begin any more."""
        self.last_call_at = self._clock.monotonic()
        sent = False

        async def starting() -> None:
            nonlocal sent
            await turn.starting()
            if self._stop.is_set or not may_begin():
                raise _MayNotBegin
            sent = True
            self._count(repeats=repeats)

        task = asyncio.current_task()
        self.sent_at[task] = self.last_call_at
        try:
            result = await self._client.call(image, before_send=starting)
        except _MayNotBegin:
            return None
        except asyncio.CancelledError:
            self._budget.paid_calls += sent  # nobody will know what came of it
            raise
        finally:
            del self.sent_at[task]
        if not sent:  # no connection could be made
            self._count(repeats=repeats)
        self._observer.called(result)
        return result

    def _count(self, *, repeats: bool) -> None:
        self.calls += 1
        if repeats:
            self.repeated_calls += 1
            self._observer.repeated()

    async def _record(self, request: Request, result: ApiResponse | CallFailure, began_at: float) -> CallRecord:
        ended_at, size = self._clock.monotonic(), len(request.image)
        self._spacing.ended(ended_at - began_at)
        takes = reading_takes(result.body) if isinstance(result, ApiResponse) else 0
        try:
            verdict = await beside(takes, partial(classify, result, self._clock.now(), image_bytes=size))
        except asyncio.CancelledError:
            self._budget.paid_calls += 1  # nobody will know what it says
            raise
        self._budget.paid_calls += is_paid(verdict)
        return CallRecord(
            request.document_id,
            verdict,
            began_at,
            ended_at,
            size,
            again=request.failures > 0 or request.aged,
            letter=request.letter,
        )

    async def _learn(self, record: CallRecord, turn: Turn) -> Exception | None:
        breaker = self.health.breaker
        was_open = breaker.state(record.ended_at) is BreakerState.OPEN
        error = self.health.record(record)
        if not was_open and breaker.state(record.ended_at) is BreakerState.OPEN:
            self._observer.breaker_opened()
        if record.answered:
            await turn.succeeded()
        return error

    def _decide(self, record: CallRecord, attempts: Attempts, first_call_at: float) -> Decision:
        return decide(
            record.verdict,
            attempts,
            self.health,
            time_left_s=self._config.document_deadline_s - (record.ended_at - first_call_at),
            jitter=self._jitter(),
            config=self._config,
        )

    async def _back_off(self, retry: Retry, turn: Turn) -> None:
        self.raise_if_stopped()
        if retry.pause_everyone:
            await turn.throttled(retry.delay_s)
        await self._clock.sleep(retry.delay_s)

    async def _turn(self, request: Request) -> Turn:
        """Wait until limiter and breaker both let a call begin. The breaker is asked last: a limiter's turn may take
        longer than it takes a service to fail. A probe has waited by itself."""
        if (wait_s := self._spacing.wait_s(self._clock.monotonic())) > 0:
            await self._clock.sleep(wait_s)
        breaker = self.health.breaker
        while True:
            asked_at = self._clock.monotonic()
            self.queued += 1
            try:
                turn = await self._limiter.acquire()
            finally:
                self.queued -= 1
            waited_s = self._clock.monotonic() - asked_at
            self.waited_s += waited_s
            self._observer.waited(waited_s)
            # The pool cancels the tasks that wait; this one was on its way already.
            self.raise_if_stopped()
            now = self._clock.monotonic()
            if request.probe:
                return turn
            probing = breaker.state(now) is BreakerState.HALF_OPEN
            if breaker.may_call(now):
                self._probe = asyncio.current_task() if probing else self._probe
                return turn
            await self._clock.sleep(breaker.wait_s(now))

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        """Mark the running task as one that a stop lets finish."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call belongs to a task")
        self.in_flight.add(task)
        try:
            yield
        finally:
            self.in_flight.discard(task)
            if task is self._probe:
                self._probe = None
                self.health.breaker.release_probe()
