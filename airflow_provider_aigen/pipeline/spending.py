# SPDX-License-Identifier: Apache-2.0
"""What one try spends, noted in the state: at its start, every minute, and when it ends (design §3, Spend).

The counts of a process that is killed are lost except for what it has noted: at most those of the last minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from airflow_provider_aigen.core.errors import AigenError, StoppedError, TransientError
from airflow_provider_aigen.core.models import Plan
from airflow_provider_aigen.core.report import counted
from airflow_provider_aigen.core.shards import Shard
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.core.spend_records import SpendRecord, spend_folder
from airflow_provider_aigen.pipeline.calls import Caller
from airflow_provider_aigen.pipeline.documents import DocumentLine
from airflow_provider_aigen.ports import Ports

__all__ = ["Spending"]

log = logging.getLogger(__name__)

# How often, and after which pauses, the last record is tried again: nobody else knows what it counts.
_LAST_PAUSES_S = (1.0, 4.0, 15.0)


class _Counts(NamedTuple):
    calls: int
    paid: int
    repeated: int
    reused: int
    waited_s: float


class Spending:
    """Of one try. Its records carry the first id of the process, which never changes."""

    def __init__(
        self,
        plan: Plan,
        shard: Shard,
        ports: Ports,
        caller: Caller,
        line: DocumentLine,
        price: Price | None,
        interval_s: float,
    ) -> None:
        self._run = plan.run
        self._folder = spend_folder(plan)
        self._part = shard.part_of(plan)
        self._state = ports.state
        self._clock = ports.clock
        self._writer_id = ports.writer_id
        self._caller = caller
        self._line = line
        self._price = price
        self._interval_s = interval_s
        self._number = 0
        self._noted = _Counts(0, 0, 0, 0, 0.0)
        self._noted_at = ports.clock.now()
        self._calls_noted = 0
        # A record that is not surely written. Written again it must be the same: it may be there already.
        self._unsure: SpendRecord | None = None
        self._one_at_a_time = asyncio.Lock()

    @asynccontextmanager
    async def one_try(self) -> AsyncIterator[None]:
        """Note that the try begins, so that a later plan finds it, however it ends; and at its end, what is left to be
        noted. Raises what the store raises, at the end only if the try has not failed anyway."""
        await self._note()
        try:
            yield
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # Airflow's timeout is one
            await self._end(error)
            raise
        await self._end(None)

    async def run(self) -> None:
        """Note every minute, until cancelled."""
        while True:
            await self._clock.sleep(self._interval_s)
            await self.note()

    async def note(self) -> None:
        """Note what was spent since the record before; what the store does not take now goes into the next one."""
        try:
            await self._note()
        except TransientError as error:
            log.warning("What this try has spent could not be noted, which is tried again: %s", error)

    async def _end(self, error: BaseException | None) -> None:
        # A process that is told to stop has no time for a second attempt.
        told = isinstance(error, StoppedError) or not isinstance(error, Exception | None)
        pauses_s = [] if told else [*_LAST_PAUSES_S]
        while (problem := await self._note_the_last()) is not None:
            if not pauses_s or not isinstance(problem, TransientError):
                lost = counted(self._caller.calls - self._calls_noted, "call")
                log.error("What this try has spent could not be noted, the table runs will lack %s: %s", lost, problem)
                if error is None:
                    raise problem
                return
            await self._clock.sleep(pauses_s.pop(0))

    async def _note_the_last(self) -> AigenError | None:
        try:
            await self._note(last=True)
        except AigenError as problem:
            return problem
        return None

    async def _note(self, *, last: bool = False) -> None:
        async with self._one_at_a_time:
            while True:
                record = self._unsure or self._next(last=last)
                self._unsure = record
                await self._state.note_spend(self._folder, record)
                self._unsure = None
                self._calls_noted += record.calls
                if record.last or not last:
                    return

    def _next(self, *, last: bool) -> SpendRecord:
        now, counts = self._clock.now(), self._now()
        record = SpendRecord(
            run=self._run,
            writer_id=self._writer_id,
            number=self._number,
            began_at=self._noted_at,
            ended_at=now,
            calls=counts.calls - self._noted.calls,
            paid_calls=counts.paid - self._noted.paid,
            billed_retries=counts.repeated - self._noted.repeated,
            answers_reused=counts.reused - self._noted.reused,
            waited_s=round(counts.waited_s - self._noted.waited_s, 3),
            price_per_call=self._price.per_call if self._price is not None else None,
            currency=self._price.currency if self._price is not None else "",
            part=self._part,
            last=last,
        )
        self._number, self._noted, self._noted_at = self._number + 1, counts, now
        return record

    def _now(self) -> _Counts:
        caller = self._caller
        return _Counts(
            caller.calls, caller.paid_calls, caller.repeated_calls, self._line.answers_reused, caller.waited_s
        )
