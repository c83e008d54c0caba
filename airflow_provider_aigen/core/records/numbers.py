# SPDX-License-Identifier: Apache-2.0
"""Numbers as Thai documents write them: Thai or Arabic digits, thousands separators, a unit behind them."""

from __future__ import annotations

import re
from decimal import Decimal

from airflow_provider_aigen.core.records.text import loose, plain

__all__ = ["DIGITS", "SCALE", "read_decimal", "read_integer"]

DIGITS, SCALE = 18, 4
"""What a decimal column holds: so many digits, of which so many stand behind the point."""

# Units that a form prints beside the number, and that do not change it. Another unit does: 1.5 tons are not 1.5 kg,
# and 100 kW are not 100 hp.
_UNITS = frozenset(
    loose(unit)
    for unit in (
        "กก.", "กิโลกรัม", "กิโล", "kg", "kgs", "ซีซี", "cc", "ลบ.ซม.", "ลูกบาศก์เซนติเมตร", "แรงม้า", "hp", "คน", "ที่นั่ง",
        "ที่", "บาท", "THB", "฿",
    )
)  # fmt: skip
_NUMBER = re.compile(
    r"(?P<sign>[-+]?)(?:฿ ?)?(?P<whole>[0-9]{1,3}(?:, ?[0-9]{3})+|[0-9]+)(?:\.(?P<part>[0-9]+))? ?(?P<unit>[^0-9]*)"
)


def read_decimal(value: str) -> Decimal | None:
    """The number that ``value`` names; None where it names none, or one that needs more than 14 digits before the point
    or 4 behind it."""
    found = _NUMBER.fullmatch(plain(value))
    if found is None or (found["unit"] and loose(found["unit"]) not in _UNITS):
        return None
    whole = re.sub("[, ]", "", found["whole"]).lstrip("0") or "0"
    part = (found["part"] or "").rstrip("0")
    if len(whole) > DIGITS - SCALE or len(part) > SCALE:
        return None
    number = Decimal(f"{whole}.{part}" if part else whole)
    return -number if found["sign"] == "-" else number


def read_integer(value: str) -> int | None:
    """The same for a whole number; None for one that has something else than zeros behind the point."""
    number = read_decimal(value)
    return int(number) if number is not None and number == int(number) else None
