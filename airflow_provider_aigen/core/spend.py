# SPDX-License-Identifier: Apache-2.0
"""Calls → money, in the currency that the connection names: multiplied, never converted, never rounded to cents.

A price is what a user says that one call costs. Which calls are paid for is no promise of the vendor (contract, "Not
documented anywhere"): ``core.service.verdicts.is_paid`` says which ones are counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

from airflow_provider_aigen.core.errors import ConfigurationError

__all__ = ["Cost", "Price", "RunSpend", "limit_price"]

_LONGEST_CURRENCY = 16


@dataclass(frozen=True, slots=True)
class Cost:
    """What a try costs in money, by the price that the connection names. ``paid`` is for the paid calls,
    ``paid_twice_at_most`` the part of it that went into possibly billed retries; ``saved`` is what the reused answers
    would have cost."""

    currency: str
    price_per_call: float
    paid: float
    saved: float
    paid_twice_at_most: float


@dataclass(frozen=True, slots=True)
class RunSpend:
    """What all tries of a run cost together. ``tries`` are those that called, or reused an answer. ``paid_calls`` may
    be on the bill, ``billed_retries`` repeat one of them; calls waited ``waited_s`` seconds for their turn, in all.

    The money is in ``currency``, by the price that each try had: ``paid``, ``saved`` and ``paid_twice_at_most`` as in
    :class:`Cost`. All four are None where a try that called had no price, or where tries had different currencies."""

    tries: int = 0
    calls: int = 0
    paid_calls: int = 0
    billed_retries: int = 0
    answers_reused: int = 0
    waited_s: float = 0.0
    currency: str | None = None
    paid: float | None = None
    saved: float | None = None
    paid_twice_at_most: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one call. ``currency`` is any short word for it, ``""`` for none."""

    per_call: float
    currency: str = ""

    def __post_init__(self) -> None:
        number = isinstance(self.per_call, (int, float)) and not isinstance(self.per_call, bool)
        if not number or not math.isfinite(self.per_call) or self.per_call < 0:
            raise ConfigurationError("connection extra price_per_call", "must be a number from 0")
        word = isinstance(self.currency, str) and self.currency.isprintable()
        if not word or len(self.currency) > _LONGEST_CURRENCY:
            raise ConfigurationError(
                "connection extra currency", f"must be a word of at most {_LONGEST_CURRENCY} characters, such as THB"
            )

    def cost(self, *, paid_calls: int, answers_reused: int, billed_retries: int) -> Cost:
        """What these counts come to."""
        return Cost(
            currency=self.currency,
            price_per_call=self.per_call,
            paid=float(self.of(paid_calls)),
            saved=float(self.of(answers_reused)),
            paid_twice_at_most=float(self.of(billed_retries)),
        )

    def text(self, calls: int) -> str:
        """What so many calls cost, for a person: ``1,250.00 THB``. As many decimals as the price has, at least two."""
        return self.amount_text(self.of(calls))

    def amount_text(self, amount: Decimal | float) -> str:
        """An amount of this currency for a person, with as many decimals as it has, at least two."""
        amount = amount if isinstance(amount, Decimal) else Decimal(repr(amount))
        exponent = amount.as_tuple().exponent
        decimals = max(2, -exponent) if isinstance(exponent, int) else 2
        return f"{amount:,.{decimals}f} {self.currency}".rstrip()

    def of(self, calls: int) -> Decimal:
        """What so many calls cost."""
        # By way of its shortest decimal notation: 3 calls at 0.1 are 0.3, which binary floats deny.
        return Decimal(repr(self.per_call)) * calls

    def calls_within(self, amount: Decimal) -> int | None:
        """How many calls cost at most ``amount``; None where a call costs nothing."""
        if not self.per_call:
            return None
        return max(0, int((amount / self.of(1)).to_integral_value(ROUND_FLOOR)))


def limit_price(price: Price | None) -> Price:
    """The price by which ``max_spend`` counts. Raises ``ConfigurationError`` where there is none."""
    if price is None:
        raise ConfigurationError(
            "max_spend", "needs the price of a call: put price_per_call into the AIGEN connection's extra"
        )
    return price
