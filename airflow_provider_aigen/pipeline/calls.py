# SPDX-License-Identifier: Apache-2.0
"""One request until its answer is kept: slot, limiter, breaker, call, classify, retry (design §5).

This is the only layer that retries a call. An answer is kept before its slot is given free, so that a crash costs at
most ``max_in_flight`` calls a second time (design §3.3).

A retry that ``core.service.retry.decide`` defers is not made here and now: who called :meth:`Caller.call` asks for it
with :meth:`Caller.again` when the calls of others have told that the service is well.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import ContractError, ServiceUnavailableError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure
from airflow_provider_aigen.core.service.breaker import Breaker, BreakerState, is_systemic
from airflow_provider_aigen.core.service.classify import Extracted, Refused, Verdict, classify, is_paid
from airflow_provider_aigen.core.service.retry import Abort, Attempts, Deferral, Final, Retry, RetryDecision, decide
from airflow_provider_aigen.pipeline.stop import Stop
from airflow_provider_aigen.ports import Clock, Observer, OcrClient, RateLimiter, Turn

__all__ = ["CallHistory", "Caller", "Failure", "FinalResult"]

T = TypeVar("T")

# After so many the outage is one to wait out between two tries of the task: some three and a half minutes.
_MAX_FAILED_PROBES = 3

_DOWN = (
    "the AIGEN endpoint fails for every document (the circuit breaker is open): nothing was dead-lettered for it, and "
    "the next try goes on from here"
)


async def _not_overtaken() -> None:
    """For those who share no document with others."""


@dataclass(frozen=True, slots=True)
class FinalResult:
    """A call's result that no retry will change, about to be kept."""

    result: ApiResponse | CallFailure
    verdict: Verdict
    attempts: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class CallHistory:
    """What was done for a request before, and what holds for its next call. ``attempts`` counts that call, too, and
    ``repeats`` says that it repeats one that may be on the bill. Times are monotonic; no call begins before
    ``not_before``. ``suspect``: the service failed for the request while it answered others, so that one more failure
    says nothing about the service."""

    attempts: Attempts = field(default_factory=Attempts)
    first_call_at: float | None = None
    not_before: float = 0.0
    repeats: bool = False
    suspect: bool = False


@dataclass(frozen=True, slots=True)
class Failure:
    """A request for which the service failed, as was seen at ``failed_at`` (monotonic). ``retry`` is the deferred call
    that it may still get, None where its own are spent."""

    failed_at: float
    first_call_at: float
    status: int | None
    attempts: Attempts
    latency_s: float
    retry: Retry | None


class Caller:
    """The maker of the calls of one try: it has the slots, the breaker and the budget of retries. ``billed_budget`` is
    how many calls that were perhaps billed may be repeated in this try; ``jitter`` gives numbers from 0 to 1."""

    def __init__(
        self,
        client: OcrClient,
        limiter: RateLimiter,
        clock: Clock,
        stop: Stop,
        *,
        config: PipelineConfig,
        billed_budget: int,
        jitter: Callable[[], float],
        observer: Observer,
    ) -> None:
        self._client = client
        self._limiter = limiter
        self._clock = clock
        self._stop = stop
        self._config = config.retry
        self._billed_left = billed_budget
        self._jitter = jitter
        self._observer = observer
        self._slots = asyncio.Semaphore(config.max_in_flight)
        self._unknown_codes = 0
        self._probe: asyncio.Task[object] | None = None
        self.breaker = Breaker()
        self.calls = 0
        self.paid_calls = 0
        self.billed_retries = 0
        self.last_success_at: float | None = None
        self.down_at: float | None = None
        self.in_flight: set[asyncio.Task[object]] = set()

    async def call(
        self,
        body: bytes,
        keep: Callable[[FinalResult], Awaitable[T]],
        overtaken: Callable[[], Awaitable[T | None]] = _not_overtaken,
        history: CallHistory = CallHistory(),
    ) -> T | Failure:
        """Send ``body`` until its result is final, and return what ``keep`` made of it, or why there is none.
        ``history`` is from :meth:`again`.

        ``overtaken`` is asked before each call, which may have waited long for its turn: what it returns, unless None,
        is returned instead of calling. Raises what stops the run: ``AuthenticationError``, ``AccountError``,
        ``ContractError``, ``ServiceUnavailableError``, and whatever ``keep`` and ``overtaken`` raise."""
        attempts, first_call_at, repeats = history.attempts, history.first_call_at, history.repeats
        await self._not_before(history.not_before)
        while True:
            async with self._slots:
                turn = await self._turn()
                with self._in_flight():
                    if (instead := await overtaken()) is not None:
                        return instead
                    called_at = self._clock.monotonic()
                    first_call_at = called_at if first_call_at is None else first_call_at
                    self.calls += 1
                    if repeats:
                        self._billed_again()
                        repeats = False
                    result = await self._client.call(body, before_send=turn.starting)
                    self._observer.called(result)
                    verdict = classify(result)
                    self.paid_calls += is_paid(verdict)
                    self._record(verdict, called_at, suspect=history.suspect)
                    decision = self._decide(verdict, attempts, first_call_at)
                    if isinstance(decision, Final):
                        kept = await keep(FinalResult(result, verdict, attempts.calls, self._clock.now()))
                        await turn.succeeded()
                        self._check_contract(verdict)
                        return kept
            if isinstance(decision, Abort):
                raise decision.error
            if isinstance(decision, Deferral):
                if self.breaker.state(self._clock.monotonic()) is not BreakerState.CLOSED:
                    raise ServiceUnavailableError(_DOWN)
                status = result.status if isinstance(result, ApiResponse) else None
                return Failure(
                    self._clock.monotonic(), first_call_at, status, attempts, result.latency_s, decision.retry
                )
            if decision.billed:
                self._billed_left -= 1
                repeats = True
            attempts = attempts.after(decision)
            await self._back_off(decision, turn)

    def again(self, failure: Failure, *, suspect: bool) -> CallHistory | None:
        """What the deferred call is to be made with; the run's budget pays if need be. None where no retry is left or
        affordable, or where the document's deadline is over."""
        retry = failure.retry
        if retry is None or (retry.billed and self._billed_left <= 0):
            return None
        begins_at = max(self._clock.monotonic(), failure.failed_at + retry.delay_s)
        if begins_at - failure.first_call_at > self._config.document_deadline_s:
            return None
        self._billed_left -= retry.billed
        return CallHistory(
            failure.attempts.after(retry), failure.first_call_at, begins_at, repeats=retry.billed, suspect=suspect
        )

    async def _not_before(self, time: float) -> None:
        if (early_s := time - self._clock.monotonic()) > 0:
            await self._clock.sleep(early_s)

    def _billed_again(self) -> None:
        self.billed_retries += 1
        self._observer.repeated()

    async def _back_off(self, retry: Retry, turn: Turn) -> None:
        if self._stop.is_set:
            raise asyncio.CancelledError
        if self.breaker.failed_probes >= _MAX_FAILED_PROBES:
            raise ServiceUnavailableError(_DOWN)
        if retry.pause_everyone:
            await turn.throttled(retry.delay_s)
        await self._clock.sleep(retry.delay_s)

    def _decide(self, verdict: Verdict, attempts: Attempts, first_call_at: float) -> RetryDecision:
        return decide(
            verdict,
            attempts,
            billed_left=self._billed_left,
            elapsed_s=self._clock.monotonic() - first_call_at,
            now=self._clock.now(),
            jitter=self._jitter(),
            config=self._config,
        )

    async def _turn(self) -> Turn:
        """Wait until limiter and breaker both let a call begin. The breaker is asked last: a limiter's turn may take
        longer than it takes a service to fail."""
        while True:
            asked_at = self._clock.monotonic()
            turn = await self._limiter.acquire()
            self._observer.waited(self._clock.monotonic() - asked_at)
            if self._stop.is_set:
                # The pool cancels those who wait; this one was on its way already.
                raise asyncio.CancelledError
            now = self._clock.monotonic()
            probing = self.breaker.state(now) is BreakerState.HALF_OPEN
            if self.breaker.may_call(now):
                self._probe = asyncio.current_task() if probing else self._probe
                return turn
            await self._clock.sleep(self.breaker.wait_s(now))

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
                self.breaker.release_probe()

    def _record(self, verdict: Verdict, called_at: float, *, suspect: bool) -> None:
        now = self._clock.monotonic()
        match is_systemic(verdict):
            case True if suspect:
                pass  # many of them, one after the other, are no outage
            case True:
                before = self.breaker.state(now)
                self.breaker.record_failure(now)
                if self.breaker.state(now) is BreakerState.OPEN:
                    self.down_at = now
                if before is not BreakerState.OPEN and self.breaker.state(now) is BreakerState.OPEN:
                    self._observer.breaker_opened()
            case False:
                self.breaker.record_success(now)
                self.last_success_at = max(called_at, self.last_success_at or called_at)
            case None:
                pass

    def _check_contract(self, verdict: Verdict) -> None:
        """Count refusals with codes that no table knows: one is a document's, twenty in a row are a new contract."""
        if isinstance(verdict, Refused) and not verdict.known:
            self._unknown_codes += 1
        elif isinstance(verdict, (Extracted, Refused)):
            self._unknown_codes = 0
        if self._unknown_codes >= self._config.unknown_code_limit:
            raise ContractError(
                f"{self._unknown_codes} answers in a row carried error codes that the contract does not list, and none "
                "succeeded: the API has changed. Their dead letters tell the codes; upgrade the provider before the "
                "task is cleared"
            )
