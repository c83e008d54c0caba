# SPDX-License-Identifier: Apache-2.0
"""One try of a run against a scripted endpoint, without I/O: health, suspects, retry and outcomes act together as in
``pipeline/``, on a clock that jumps from event to event. What a call gives is the script's; what is done about it is
the core's.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from airflow_provider_aigen.core.config import RetryConfig
from airflow_provider_aigen.core.errors import AigenError
from airflow_provider_aigen.core.models import ApiResponse, CallFailure
from airflow_provider_aigen.core.service.breaker import BreakerState
from airflow_provider_aigen.core.service.classify import classify
from airflow_provider_aigen.core.service.codes import ACCESS_REFUSED
from airflow_provider_aigen.core.service.health import CallRecord, Health
from airflow_provider_aigen.core.service.retry import Attempts, EndRun, Keep, Later, Retry, decide
from airflow_provider_aigen.core.service.suspects import CallAgain, Outage, Probe, Route, Suspect, Suspects
from airflow_provider_aigen.core.service.verdicts import Failed, Verdict, is_paid

__all__ = ["Call", "End", "Trial"]

# Far more than any try takes: one that needs more does not end.
_MOST_STEPS = 100_000


@dataclass(frozen=True, slots=True)
class Call:
    """What a script is asked: the ``number`` counts the document's calls of this try from 1, ``at`` is when it
    begins."""

    document_id: str
    number: int
    at: float


Script = Callable[[Call], ApiResponse | CallFailure]


@dataclass
class End:
    """How the try ended. ``kept`` has the answers, ``routed`` what became a passing dead letter; those in ``left`` are
    in no entry. ``calls`` counts per document; ``repeated`` are the repetitions that may be paid twice."""

    kept: dict[str, Verdict] = field(default_factory=dict)
    routed: dict[str, Failed] = field(default_factory=dict)
    outage: set[str] = field(default_factory=set)
    error: AigenError | None = None
    calls: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    ended_at: float = 0.0

    @property
    def all_calls(self) -> int:
        return self.calls.total()


@dataclass
class _Work:
    document_id: str
    failed: Failed | None = None
    failures: int = 0
    billed: bool = False
    alone: bool = False
    attempts: Attempts = field(default_factory=Attempts)
    first_call_at: float | None = None
    probe: bool = False


class Trial:
    """``documents`` in plan order, of which ``letters`` are dead letters of earlier runs and ``aged`` have failed for
    long. ``sizes`` are the bytes of each, ``planned`` the documents of the whole run."""

    def __init__(
        self,
        documents: Iterable[str],
        script: Script,
        *,
        letters: Iterable[str] = (),
        aged: Iterable[str] = (),
        sizes: Callable[[str], int] = lambda _: 1000,
        planned: int | None = None,
        max_in_flight: int = 4,
        max_repeat_ratio: float = 0.2,
        latency_s: Callable[[Call], float] = lambda _: 0.1,
    ) -> None:
        names = list(documents)
        self.health = Health()
        self.suspects = Suspects(self.health, len(names) if planned is None else planned, max_repeat_ratio)
        self._script = script
        self._letters = set(letters)
        self._aged = set(aged)
        self._sizes = sizes
        self._latency_s = latency_s
        self._slots = max_in_flight
        self._fresh = deque(_Work(name) for name in names)
        self._again: deque[_Work] = deque()
        self._works: dict[str, _Work] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = 0
        self._new_under_way = 0
        self._paused_until = 0.0
        self._now = 0.0
        self._end = End()
        self._over = False

    def run(self) -> End:
        """Play the try to its end; an assertion fails where it has none."""
        for _ in range(_MOST_STEPS):
            if self._over:
                self._end.ended_at = self._now
                return self._end
            if not self._start_one() and not self._ask():
                self._wait()
        raise AssertionError("the try does not end")

    def _start_one(self) -> bool:
        """Begin a call of what waits for one, if it may begin now."""
        if not self._slots or self._paused_until > self._now or not (self._again or self._fresh):
            return False
        breaker = self.health.breaker
        alone = bool(self._again) and self._again[0].alone  # nobody else is left: the breaker holds nothing back
        half_open = breaker.state(self._now) is BreakerState.HALF_OPEN and not alone
        if not alone and not breaker.may_call(self._now):
            return False
        if self._again:
            work = self._again.popleft()
        else:
            work = self._fresh.popleft()
            self._new_under_way += 1
        self._call(work, probe=half_open)
        return True

    def _call(self, work: _Work, *, probe: bool) -> None:
        self._slots -= 1
        self._end.calls[work.document_id] += 1
        self._end.repeated += work.billed and work.attempts.calls == 1
        call = Call(work.document_id, self._end.calls[work.document_id], self._now)
        work.first_call_at = self._now if work.first_call_at is None else work.first_call_at
        work.probe = probe
        result = self._script(call)
        began_at = self._now
        self._at(self._now + self._latency_s(call), lambda: self._ended(work, result, began_at))

    def _ended(self, work: _Work, result: ApiResponse | CallFailure, began_at: float) -> None:
        self._slots += 1
        name, size = work.document_id, self._sizes(work.document_id)
        verdict = classify(result, image_bytes=size)
        again = work.failures > 0 or name in self._aged
        record = CallRecord(name, verdict, began_at, self._now, size, again, name in self._letters)
        error = self.health.record(record)
        if work.probe:
            self.health.breaker.release_probe()
        decision = decide(
            verdict,
            work.attempts,
            self.health,
            time_left_s=900.0 - (self._now - (work.first_call_at or 0.0)),
            jitter=0.5,
            config=RetryConfig(),
        )
        if isinstance(decision, Keep):
            self._settle(work)
            self._end.kept[name] = verdict
        if error is not None:
            self._stop(error)
        elif isinstance(decision, EndRun):
            self._stop(decision.error)
        elif isinstance(decision, Retry):
            work.attempts = work.attempts.after(verdict)
            if decision.pause_everyone:
                self._paused_until = max(self._paused_until, self._now + decision.delay_s)
            self._at(self._now + decision.delay_s, lambda: self._again.append(work))
        elif isinstance(decision, Later) and isinstance(verdict, Failed):
            self._fail(work, verdict)

    def _fail(self, work: _Work, verdict: Failed) -> None:
        self._new_under_way -= work.failures == 0
        billed = work.billed or is_paid(verdict)
        name = work.document_id
        self._works[name] = _Work(name, verdict, work.failures + 1, billed)
        self.suspects.add(
            Suspect(name, work.failures + 1, self._now, billed, name in self._letters, name in self._aged)
        )

    def _settle(self, work: _Work) -> None:
        self._new_under_way -= work.failures == 0
        self._works.pop(work.document_id, None)
        self.suspects.clear(work.document_id)

    def _stop(self, error: AigenError) -> None:
        self._end.error = error
        self._over = True

    def _ask(self) -> bool:
        """Act on what the suspects say; whether there was something to do."""
        others = bool(self._fresh) or self._new_under_way > 0
        match self.suspects.next(self._now, others=others):
            case Probe(at=at) if at > self._now:
                self._at(at, lambda: None)
                return False
            case CallAgain(document_id=name) | Probe(document_id=name):
                self._works[name].alone = not others
                self._again.append(self._works[name])
            case Route(document_ids=names):
                for name in names:
                    failed = self._works[name].failed
                    assert failed is not None
                    self._end.routed[name] = failed
                    self._settle(self._works[name])
            case Outage(document_ids=names):
                self._end.outage = set(names)
                codes = {failed.error_codes[0] for name in names if (failed := self._works[name].failed)}
                refused = not self.health.answered and codes == {ACCESS_REFUSED}
                self._end.error = self.health.access_error() if refused else self.health.unreachable_error()
                self._over = True
            case None:
                self._over = not (others or len(self.suspects))
                return self._over
        return True

    def _wait(self) -> None:
        """Jump to the next moment at which something may change."""
        moments = [self._paused_until] if self._paused_until > self._now else []
        breaker_s = self.health.breaker.wait_s(self._now)
        if breaker_s > 0 and (self._again or self._fresh):
            moments.append(self._now + breaker_s)
        if self._events and self._events[0][0] <= min(moments, default=float("inf")):
            self._now, _, happen = heapq.heappop(self._events)
            happen()
            return
        assert moments, "nothing will ever happen again"
        self._now = min(moments)

    def _at(self, moment: float, happen: Callable[[], None]) -> None:
        self._numbers += 1
        heapq.heappush(self._events, (moment, self._numbers, happen))
