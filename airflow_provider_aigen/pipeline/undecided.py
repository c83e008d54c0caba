# SPDX-License-Identifier: Apache-2.0
"""Documents for which the service failed: is it their own fault, or an outage? (design §5).

An outage dead-letters nothing, not even the documents that saw it begin. So a failed document is *held*. When a call
that began after the failure was seen is answered, the service is well: now the document is tried again, if a retry is
left for it and in the run's budget. It is its own fault if it fails again, and another call that began after that is
answered. Whatever can't be told so waits for the next try, which learns of the *suspect* ones, for which the service
failed while it answered others: a failure there is their second.
"""

from __future__ import annotations

from collections import deque

from airflow_provider_aigen.core.errors import ServiceUnavailableError
from airflow_provider_aigen.core.models import SourceObject
from airflow_provider_aigen.core.service.breaker import BreakerState
from airflow_provider_aigen.pipeline.batches import OpenBatch, OpenBatches
from airflow_provider_aigen.pipeline.calls import Caller, CallHistory
from airflow_provider_aigen.pipeline.documents import FinishedDocument, UndecidedDocument
from airflow_provider_aigen.ports import Clock

__all__ = ["UndecidedDocuments"]

# At the end of a run nothing is left that could be answered after a second failure. So few, in a try in which the
# service answered others, are their own fault; more of them look like the beginning of an outage.
_MAX_AT_END = 2

Held = tuple[OpenBatch, UndecidedDocument]


class UndecidedDocuments:
    """The undecided documents of one try. ``decide`` and ``raise_if_any`` raise
    ``ServiceUnavailableError`` where the documents have to wait for the next try."""

    def __init__(self, caller: Caller, clock: Clock, batches: OpenBatches) -> None:
        self._caller = caller
        self._clock = clock
        self._batches = batches
        self._held: list[Held] = []
        self._again: deque[tuple[Held, CallHistory]] = deque()
        self._ended: list[Held] = []

    def __bool__(self) -> bool:
        return bool(self._held)

    def hold(self, opened: OpenBatch, undecided: UndecidedDocument) -> None:
        """Hold the document; its batch stays open."""
        self._held.append((opened, undecided))

    def held(self) -> list[Held]:
        """Those that are neither ended nor to be tried again."""
        return list(self._held)

    def let_go(self, held: Held) -> None:
        """Forget one that has its outcome otherwise."""
        self._held.remove(held)

    def decide(self) -> None:
        """Where the service answered a call that began after they failed: end those that failed a second time, and
        have the others tried again. Once the breaker opened, it is the service's fault."""
        if not self._held:
            return
        if self._caller.breaker.state(self._clock.monotonic()) is not BreakerState.CLOSED or self._went_down():
            raise self._outage()
        held, self._held = self._held, []
        for one in held:
            undecided = one[1]
            if not self._well_since(undecided):
                self._held.append(one)
            elif undecided.suspect:
                self._end(one)
            elif (history := self._caller.again(undecided.failure, suspect=True)) is not None:
                self._again.append((one, history))
            else:
                self._held.append(one)

    def next_again(self) -> tuple[OpenBatch, SourceObject, CallHistory] | None:
        """One that is to be processed once more; each is given once."""
        if not self._again:
            return None
        (opened, undecided), history = self._again.popleft()
        return opened, undecided.document, history

    @property
    def some_wait(self) -> bool:
        """Whether any has to wait for the next try, whatever others are answered in this one: no retry is left."""
        return any(not undecided.suspect and self._well_since(undecided) for _, undecided in self._held)

    def probe(self) -> tuple[OpenBatch, SourceObject, CallHistory] | None:
        """One of them, to find out whether the service is well when there is nobody else to do so."""
        for one in self._held:
            opened, undecided = one
            if not undecided.suspect and (history := self._caller.again(undecided.failure, suspect=False)) is not None:
                self._held.remove(one)
                return opened, undecided.document, history
        return None

    def end(self) -> None:
        """No call is left that could tell, now or in the next try: a few that failed a second time are dead letters."""
        suspects = [one for one in self._held if one[1].suspect]
        if len(suspects) <= _MAX_AT_END and self._caller.last_success_at is not None:
            for one in suspects:
                self._held.remove(one)
                self._end(one)

    def raise_if_any(self) -> None:
        """Raise if any are left: they wait for the next try."""
        if self._held:
            raise self._spent() if self.some_wait else self._outage()

    def suspects(self) -> list[UndecidedDocument]:
        """Those without a commit for which the service failed while it answered others, for the next try to know."""
        held = [*self._held, *(one for one, _ in self._again), *(one for one in self._ended if one[0].waiting)]
        return [one for _, one in held if one.suspect or self._well_since(one)]

    def _end(self, held: Held) -> None:
        opened, undecided = held
        self._ended = [one for one in self._ended if one[0].waiting]
        self._ended.append(held)
        self._batches.end(opened, FinishedDocument(undecided.outcome))

    def _well_since(self, undecided: UndecidedDocument) -> bool:
        answered = self._caller.last_success_at
        return answered is not None and answered > undecided.failure.failed_at

    def _went_down(self) -> bool:
        """Whether the breaker opened since one of them failed, even if it closed again before anybody asked."""
        down_at = self._caller.down_at
        return down_at is not None and any(one.failure.failed_at <= down_at for _, one in self._held)

    def _outage(self) -> ServiceUnavailableError:
        return ServiceUnavailableError(
            f"the AIGEN endpoint failed for {len(self._held)} documents while no other was answered: they are not "
            "dead-lettered but wait for the next try"
        )

    def _spent(self) -> ServiceUnavailableError:
        return ServiceUnavailableError(
            f"the AIGEN endpoint failed for {len(self._held)} documents though it answers others, and this try may "
            "repeat no more calls that are perhaps billed: they are not dead-lettered but wait for the next try"
        )
