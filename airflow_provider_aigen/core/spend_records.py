# SPDX-License-Identifier: Apache-2.0
"""What is stored of a run's spend, and its sum (design §3, Spend).

Each process that works on a run writes records: what it spent since the record before. Whatever the number of tries,
and whatever ended them, the sum of the records is what the run spent.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from airflow_provider_aigen.core.models import Plan, RunIdentity
from airflow_provider_aigen.core.spend import Price, RunSpend

__all__ = ["SpendRecord", "calls_left", "run_spend", "spend_folder"]


@dataclass(frozen=True, slots=True)
class SpendRecord:
    """What one process spent on a run from ``began_at`` to ``ended_at``: since its record before, or since its try
    began. ``number`` counts the records of a ``writer_id`` from 0. The counts are those of :class:`RunSpend`.

    ``price_per_call`` and ``currency`` are those of the connection, None and ``""`` where it has none. ``part`` is what
    the process had of a plan that several tasks share (``core.shards.Shard.part_of``). ``last``: the try ended in
    order, and nothing follows."""

    run: RunIdentity
    writer_id: str
    number: int
    began_at: datetime
    ended_at: datetime
    calls: int = 0
    paid_calls: int = 0
    billed_retries: int = 0
    answers_reused: int = 0
    waited_s: float = 0.0
    price_per_call: float | None = None
    currency: str = ""
    part: str = ""
    last: bool = False

    @property
    def price(self) -> Price | None:
        return None if self.price_per_call is None else Price(self.price_per_call, self.currency)

    @property
    def is_idle(self) -> bool:
        """Whether nothing happened that costs or saves anything."""
        return not (self.calls or self.paid_calls or self.billed_retries or self.answers_reused)


def spend_folder(plan: Plan) -> str:
    """Where a run's records lie: the day on which it was planned, or ``undated`` for a plan of version 0.1, and its
    key. Days come in order there, so the last ones can be listed alone."""
    return f"{plan.planned_at.date() if plan.planned_at is not None else 'undated'}/{plan.run.run_key}"


def run_spend(records: Sequence[SpendRecord]) -> RunSpend:
    """The sum of a run's records."""
    paid, saved, twice = (
        _money(records, [getattr(one, name) for one in records])
        for name in ("paid_calls", "answers_reused", "billed_retries")
    )
    currencies = {one.currency for one in records if one.price_per_call is not None and not one.is_idle}
    currencies = currencies or {one.currency for one in records if one.price_per_call is not None}
    known = len(currencies) == 1 and None not in (paid, saved, twice)
    return RunSpend(
        tries=len({one.writer_id for one in records if not one.is_idle}),
        calls=sum(one.calls for one in records),
        paid_calls=sum(one.paid_calls for one in records),
        billed_retries=sum(one.billed_retries for one in records),
        answers_reused=sum(one.answers_reused for one in records),
        waited_s=round(sum(one.waited_s for one in records), 3),
        currency=currencies.pop() if known else None,
        paid=paid if known else None,
        saved=saved if known else None,
        paid_twice_at_most=twice if known else None,
    )


def _money(records: Iterable[SpendRecord], counts: Iterable[int]) -> float | None:
    """None where there is something to pay for that has no price."""
    amount = Decimal(0)
    for record, count in zip(records, counts, strict=True):
        if count and record.price is None:
            return None
        amount += record.price.of(count) if record.price is not None else 0
    return float(amount)


def calls_left(max_spend: Decimal, price: Price, records: Iterable[SpendRecord]) -> int | None:
    """How many more calls ``max_spend`` leaves to a run that has spent ``records``; None where a call costs nothing.
    What other tries paid in another currency, or without a price, counts at the price of now."""
    spent = Decimal(0)
    for record in records:
        own = record.price if record.price is not None and record.currency == price.currency else price
        spent += own.of(record.paid_calls)
    return price.calls_within(max_spend - spent)
