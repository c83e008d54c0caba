# SPDX-License-Identifier: Apache-2.0
"""Dates and years as Thai documents write them → dates and years of the common era.

A year of the Buddhist era is 543 ahead, in every month, as registers compute it. (Before 1941 a year began in April, so
the historical date of a January, February or March before then is a year later.)
"""

from __future__ import annotations

import re
from datetime import date

from airflow_provider_aigen.core.records.text import loose, plain

__all__ = ["read_date", "read_year"]

_AHEAD = 543
_FIRST, _LAST = 2400 - _AHEAD, 2600 - _AHEAD

# Each month: its name, without its ending as people say it, its abbreviation, and its English name.
_MONTHS = (
    ("มกราคม", "มกรา", "ม.ค.", "January"),
    ("กุมภาพันธ์", "กุมภา", "ก.พ.", "February"),
    ("มีนาคม", "มีนา", "มี.ค.", "March"),
    ("เมษายน", "เมษา", "เม.ย.", "April"),
    ("พฤษภาคม", "พฤษภา", "พ.ค.", "May"),
    ("มิถุนายน", "มิถุนา", "มิ.ย.", "June"),
    ("กรกฎาคม", "กรกฎา", "ก.ค.", "July"),
    ("สิงหาคม", "สิงหา", "ส.ค.", "August"),
    ("กันยายน", "กันยา", "ก.ย.", "September"),
    ("ตุลาคม", "ตุลา", "ต.ค.", "October"),
    ("พฤศจิกายน", "พฤศจิกา", "พ.ย.", "November"),
    ("ธันวาคม", "ธันวา", "ธ.ค.", "December"),
)
_NUMBER = {
    loose(spelling): number
    for number, spellings in enumerate(_MONTHS, start=1)
    for spelling in (*spellings, spellings[-1][:3])
} | {"sept": 9}
# Era by its loose spelling, and by how much it is ahead.
_ERAS = {"พุทธศักราช": _AHEAD, "พศ": _AHEAD, "be": _AHEAD, "คริสตศักราช": 0, "คศ": 0, "ad": 0, "ce": 0}

_ERA = r"(?P<era>พุทธศักราช|คริสต์?ศักราช|[พค]\s?\.?\s?ศ\s?\.?|B\.?E\.?|A\.?D\.?|C\.?E\.?)"
_BETWEEN = r"(?:\s?[-/.,]\s?|\s)"
_WEEKDAY = "อาทิตย์|จันทร์|อังคาร|พุธ|พฤหัสบดี|พฤหัสฯ?|ศุกร์|เสาร์"
_BEFORE = re.compile(rf"\A(?:วัน\s?)?(?:{_WEEKDAY})?\s?(?:ที่)?\s?(?=[0-9])")
_NAMED = re.compile(r"(?P<day>[0-9]{1,2})(?P<words>[^0-9]+)(?P<year>[0-9]{4})")
_NUMBERS = re.compile(
    rf"(?P<day>[0-9]{{1,2}}){_BETWEEN}(?P<month>[0-9]{{1,2}}){_BETWEEN}{_ERA}?\s?(?P<year>[0-9]{{4}})", re.IGNORECASE
)
_YEAR_FIRST = re.compile(rf"(?P<year>[0-9]{{4}}){_BETWEEN}(?P<month>[0-9]{{1,2}}){_BETWEEN}(?P<day>[0-9]{{1,2}})")
_YEAR = re.compile(rf"(?:ปี\s?)?{_ERA}?\s?(?P<year>[0-9]{{4}})", re.IGNORECASE)
_SEPARATORS = re.compile(r"[-/,]")


def read_date(value: str) -> date | None:
    """The date that ``value`` names: day, month, year, or year, month, day; the month a number or a name, long or
    short; digits Thai or Arabic. A year without its era is of the Buddhist one from 2400 to 2600, and of the common one
    from 1857 to 2057. None for anything else, so for a year of two digits."""
    text = _BEFORE.sub("", plain(value).strip(" .,"), count=1)
    if found := _NAMED.fullmatch(text):
        month, ahead = _month(found["words"])
        return _date(found["day"], month, _common_year(found["year"], ahead))
    if found := _NUMBERS.fullmatch(text):
        return _date(found["day"], int(found["month"]), _common_year(found["year"], _ahead(found["era"])))
    if found := _YEAR_FIRST.fullmatch(text):
        return _date(found["day"], int(found["month"]), _common_year(found["year"], None))
    return None


def read_year(value: str) -> int | None:
    """The year of the common era that ``value`` names; eras as in :func:`read_date`."""
    found = _YEAR.fullmatch(plain(value).strip(" .,"))
    return _common_year(found["year"], _ahead(found["era"])) if found else None


def _month(words: str) -> tuple[int | None, int | None]:
    """The month that stands between day and year, and how much the era is ahead that may stand behind it."""
    name = loose(_SEPARATORS.sub(" ", words)).removeprefix("เดือน")
    if name in _NUMBER:
        return _NUMBER[name], None
    for era, ahead in _ERAS.items():
        if name.endswith(era) and (number := _NUMBER.get(name.removesuffix(era))) is not None:
            return number, ahead
    return None, None


def _ahead(era: str | None) -> int | None:
    return _ERAS[loose(era)] if era else None


def _common_year(digits: str, ahead: int | None) -> int | None:
    """The year of the common era; None if it is out of range. Without ``ahead`` its size tells the era."""
    year = int(digits)
    for candidate in (_AHEAD, 0) if ahead is None else (ahead,):
        if _FIRST <= year - candidate <= _LAST:
            return year - candidate
    return None


def _date(day: str, month: int | None, year: int | None) -> date | None:
    if month is None or year is None:
        return None
    try:
        return date(year, month, int(day))
    except ValueError:
        return None
