# SPDX-License-Identifier: Apache-2.0
"""How many calls a run may still pay for (``max_spend``)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import ROUND_FLOOR, Decimal

from airflow_provider_aigen.core.errors import SpendLimitError
from airflow_provider_aigen.core.models import Plan
from airflow_provider_aigen.core.shards import Shard
from airflow_provider_aigen.core.spend import Price, limit_price
from airflow_provider_aigen.core.spend_records import calls_left, spend_folder
from airflow_provider_aigen.ports import StateStore

__all__ = ["Budget"]


class Budget:
    """Of one try. At most ``calls`` may be paid for, None for any number; ``limit`` is the amount, for a person.
    ``paid_calls`` is how many were paid for by now."""

    def __init__(self, calls: int | None = None, limit: str = "") -> None:
        self._calls = calls
        self._limit = limit
        self._open = 0
        self._ended = asyncio.Event()
        self.paid_calls = 0

    @classmethod
    async def of(
        cls, plan: Plan, shard: Shard, state: StateStore, max_spend: float | None, price: Price | None
    ) -> Budget:
        """What ``max_spend`` leaves of the run to a shard of its plan. Tasks that work at the same time do not see what
        the others spend, so each has the part of the amount that it has of the documents. Raises ``ConfigurationError``
        where there is no price."""
        if max_spend is None:
            return cls()
        known, part = limit_price(price), shard.part_of(plan)
        stored = await state.read_spend(spend_folder(plan))
        amount, limit = Decimal(repr(max_spend)), known.amount_text(max_spend)
        if not part:
            return cls(calls_left(amount, known, stored.records), limit)
        amount = amount * shard.documents / max(1, plan.documents)
        spent = [record for record in stored.records if record.part in ("", part)]
        own = known.amount_text(amount.quantize(Decimal("0.01"), ROUND_FLOOR))
        return cls(calls_left(amount, known, spent), f"{limit}, of which {own} are this task's")

    @asynccontextmanager
    async def one_call(self) -> AsyncIterator[None]:
        """The right to make one call. While nothing is left, this waits for calls under way that turn out not to be
        paid. Raises ``SpendLimitError`` if none of them does."""
        while self._calls is not None and self.paid_calls + self._open >= self._calls:
            if not self._open:
                raise SpendLimitError(
                    f"one more call would pass the run's max_spend of {self._limit}: what was answered is committed. "
                    "Raise max_spend and clear the task, or leave the rest to a later run"
                )
            self._ended.clear()
            await self._ended.wait()
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._ended.set()
