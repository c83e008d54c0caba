# SPDX-License-Identifier: Apache-2.0
"""Documents for which the service failed: is it their own fault, or an outage? (design §5).

An outage dead-letters nothing, not even the documents that saw it begin: what can't be told yet is held until it can.
"""

from __future__ import annotations

from airflow_provider_aigen.core.breaker import BreakerState
from airflow_provider_aigen.core.errors import ServiceUnavailableError
from airflow_provider_aigen.pipeline.batches import OpenBatch, OpenBatches
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.documents import Ended, Undecided
from airflow_provider_aigen.ports import Clock

__all__ = ["UndecidedDocuments"]

# At the end of a run so few, while the service answers others, are their own fault; more of them look like the
# beginning of an outage, and wait for the next try.
_MAX_AT_END = 2


class UndecidedDocuments:
    """Those of one try. ``decide`` and ``decide_at_end`` raise ``ServiceUnavailableError`` where it is the service."""

    def __init__(self, caller: Caller, clock: Clock, batches: OpenBatches) -> None:
        self._caller = caller
        self._clock = clock
        self._batches = batches
        self._held: list[tuple[OpenBatch, Undecided]] = []

    def __bool__(self) -> bool:
        return bool(self._held)

    def hold(self, opened: OpenBatch, undecided: Undecided) -> None:
        """Hold the document; its batch stays open."""
        self._held.append((opened, undecided))

    def decide(self) -> None:
        """End those whose fault it is by now: a call that began after theirs failed was answered. Once the breaker
        opened, it is the service's."""
        if not self._held:
            return
        if self._caller.breaker.state(self._clock.monotonic()) is not BreakerState.CLOSED or self._went_down():
            raise self._outage()
        succeeded_at = self._caller.last_success_at
        held, self._held = self._held, []
        for opened, undecided in held:
            if succeeded_at is not None and succeeded_at > undecided.failed_at:
                self._batches.end(opened, Ended(undecided.outcome))
            else:
                self._held.append((opened, undecided))

    def decide_at_end(self) -> None:
        """No call is left that could tell: few, while the service answered others lately, are dead letters."""
        self.decide()
        if len(self._held) > _MAX_AT_END or (self._held and not self._caller.breaker.recent_success):
            raise self._outage()
        for opened, undecided in self._held:
            self._batches.end(opened, Ended(undecided.outcome))
        self._held = []

    def _went_down(self) -> bool:
        """Whether the breaker opened since one of them failed, even if it closed again before anybody asked."""
        down_at = self._caller.down_at
        return down_at is not None and any(undecided.failed_at <= down_at for _, undecided in self._held)

    def _outage(self) -> ServiceUnavailableError:
        return ServiceUnavailableError(
            f"the AIGEN endpoint failed for {len(self._held)} documents while no other was answered: they are not "
            "dead-lettered but wait for the next try"
        )
