# SPDX-License-Identifier: Apache-2.0
"""A line in the log every few seconds: how far the run is, how fast, and what went wrong so far.

It gives counts, and error codes as dead-letter paths name them; nothing else about a document.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from airflow_provider_aigen.core.models import DocumentOutcome
from airflow_provider_aigen.core.path_segments import path_segment
from airflow_provider_aigen.core.report import OTHER, codes_text, counted
from airflow_provider_aigen.core.service.breaker import BreakerState
from airflow_provider_aigen.core.service.codes import SERVICE_ERROR
from airflow_provider_aigen.core.service.verdicts import Failed
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.documents import DocumentLine
from airflow_provider_aigen.ports import Clock, Observer, RateLimiter

__all__ = ["Progress", "say_while"]

log = logging.getLogger(__name__)

T = TypeVar("T")

# So many intervals tell how fast documents end; one alone is too short for a slow pace.
_LOOK_BACK = 4
# So long without a call, and a line says why.
_QUIET_S = 15.0
# A code from outside may be a new one for each document: no more are told apart.
_MOST_CODES = 50


class _Moment(NamedTuple):
    """The counts at one time."""

    at: float
    ended: int
    calls: int


class Progress:
    """The progress of one try on a plan of ``planned`` documents. It counts what it is told and asks caller and line
    for the rest."""

    def __init__(
        self,
        planned: int,
        caller: Caller,
        line: DocumentLine,
        limiter: RateLimiter,
        clock: Clock,
        observer: Observer,
        interval_s: float,
    ) -> None:
        self._planned = planned
        self._caller = caller
        self._line = line
        self._limiter = limiter
        self._clock = clock
        self._observer = observer
        self._interval_s = interval_s
        self._skipped = 0
        self._ended = 0
        self._codes: Counter[str] = Counter()
        self._waits_for: Callable[[], Sequence[str]] = tuple
        self._began = self._now()
        self._moments = deque([self._began], maxlen=_LOOK_BACK + 1)

    def explain(self, waits_for: Callable[[], Sequence[str]]) -> None:
        """``waits_for`` says why no call is made, as far as something outside the calls knows it."""
        self._waits_for = waits_for

    def skipped(self, documents: int) -> None:
        """So many have their outcome by an earlier try or another run."""
        self._skipped += documents

    def ended(self, outcome: DocumentOutcome) -> None:
        """A document has its outcome."""
        self._ended += 1
        if outcome.has_dead_letter:
            code = path_segment(outcome.error_code or "unknown")
            self._codes[code if code in self._codes or len(self._codes) < _MOST_CODES else OTHER] += 1

    async def run(self) -> None:
        """Write a line every few seconds, until cancelled."""
        while True:
            await self._clock.sleep(self._interval_s)
            self._tell()

    def _tell(self) -> None:
        before, now = self._moments[-1], self._now()
        rate = _rate(now.calls - before.calls, now.at - before.at)
        ending = _rate(now.ended - self._moments[0].ended, now.at - self._moments[0].at)
        self._moments.append(now)
        waiting = max(0, self._planned - self._done)
        left = f"{duration(waiting / ending)} left" if ending else "time left unknown"
        quiet_s = now.at - self._caller.last_call_at
        if quiet_s >= _QUIET_S and (waiting or self._waits_for()):
            log.warning("No call for %s: %s", duration(quiet_s), self._reason(now.at))
        log.info("Progress: %s, %s, %s, %s", self._documents(self._done), self._pace(rate), left, self._rest())
        self._observer.progress(waiting=waiting, rate=rate, allowed=self._limiter.rate)

    def finish(self, *, complete: bool) -> None:
        """The last line. ``complete``: every planned document has its outcome."""
        now = self._now()
        took_s = now.at - self._began.at
        log.info(
            "%s after %s: %s, %s, %s, %s",
            "Done" if complete else "Stopped",
            duration(took_s),
            self._documents(self._planned if complete else self._done),
            counted(now.calls, "call"),
            self._pace(_rate(now.calls, took_s)),
            self._rest(),
        )
        waiting = 0 if complete else max(0, self._planned - self._done)
        self._observer.progress(waiting=waiting, rate=0.0, allowed=self._limiter.rate)

    def _reason(self, now: float) -> str:
        """Why nothing is called, and until when."""
        breaker = self._caller.health.breaker
        if breaker.state(now) is not BreakerState.CLOSED:
            test = f"the next call that tests it begins {self._at(now + breaker.wait_s(now), now)}"
            return f"{_failure(self._caller.health.last_failed)}: {test}"
        if self._limiter.paused_until_s > now:
            return f"the endpoint asked for a pause, which ends {self._at(self._limiter.paused_until_s, now)}"
        if self._caller.in_flight and self._line.is_cut_off:
            return "waits for S3: no call begins while the sign of life of this process cannot be written"
        reasons = [*self._of_calls(now), *self._waits_for()]
        if self._line.reading:
            reasons.append(f"waits for S3: {counted(self._line.reading, 'object')} being read")
        return "; ".join(reasons) or "waits for S3: the plan, claims or answers are read and written"

    def _of_calls(self, now: float) -> list[str]:
        reasons, caller = [], self._caller
        if caller.sent_at:
            oldest = duration(now - min(caller.sent_at.values()))
            reasons.append(f"{counted(len(caller.sent_at), 'call')} not answered yet, the oldest for {oldest}")
        if len(caller.in_flight) > len(caller.sent_at):
            reasons.append("waits for S3: answers are looked up or kept")
        if caller.queued and not caller.sent_at:
            reasons.append(
                f"waits for its turn: all tasks that share the limit may start {self._limiter.rate:.3g} calls/s"
            )
        return reasons

    def _at(self, moment: float, now: float) -> str:
        if moment <= now:
            return "as soon as one that is under way ends"
        return f"at {self._clock.now() + timedelta(seconds=moment - now):%H:%M:%S} UTC"

    @property
    def _done(self) -> int:
        return min(self._planned, self._skipped + self._ended)

    def _now(self) -> _Moment:
        return _Moment(self._clock.monotonic(), self._ended, self._caller.calls)

    def _documents(self, done: int) -> str:
        share = f" ({100 * done // self._planned} %)" if self._planned else ""
        return f"{done} of {counted(self._planned, 'document')}{share}"

    def _pace(self, rate: float) -> str:
        allowed = self._limiter.rate
        return f"{rate:.1f} calls/s" + (f" of {allowed:.3g} allowed" if math.isfinite(allowed) else "")

    def _rest(self) -> str:
        letters = counted(self._codes.total(), "dead letter") + (f" ({codes_text(self._codes)})" if self._codes else "")
        return f"{counted(self._line.answers_reused, 'answer')} reused, {letters}"


async def say_while(work: Coroutine[Any, Any, T], clock: Clock, doing: str) -> T:
    """The result of ``work``, before which no call is made. When it takes long, a line says what is done meanwhile."""
    began = clock.monotonic()

    async def say() -> None:
        while True:
            await clock.sleep(_QUIET_S)
            log.warning("No call for %s: %s", duration(clock.monotonic() - began), doing)

    saying = asyncio.create_task(say())
    try:
        return await work
    finally:
        saying.cancel()


def _failure(failed: Failed | None) -> str:
    if failed is None:
        return "the endpoint fails"
    if failed.status is None:
        return f"the endpoint gives no answer ({failed.kind or failed.error_codes[0]})"
    code = path_segment(failed.error_codes[0])
    return f"the endpoint answers {failed.status}" + ("" if code == SERVICE_ERROR else f" ({code})")


def _rate(count: int, seconds: float) -> float:
    return count / seconds if seconds > 0 else 0.0


def duration(seconds: float) -> str:
    """For a person: ``40 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
