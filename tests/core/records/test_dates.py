# SPDX-License-Identifier: Apache-2.0
"""Every date from 2400 to 2600 in the spellings that Thai documents use, and what is no date."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.records.dates import read_date, read_year

LONG = [
    "มกราคม",
    "กุมภาพันธ์",
    "มีนาคม",
    "เมษายน",
    "พฤษภาคม",
    "มิถุนายน",
    "กรกฎาคม",
    "สิงหาคม",
    "กันยายน",
    "ตุลาคม",
    "พฤศจิกายน",
    "ธันวาคม",
]
SHORT = ["ม.ค.", "ก.พ.", "มี.ค.", "เม.ย.", "พ.ค.", "มิ.ย.", "ก.ค.", "ส.ค.", "ก.ย.", "ต.ค.", "พ.ย.", "ธ.ค."]
ENGLISH = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
THAI_DIGITS = str.maketrans("0123456789", "๐๑๒๓๔๕๖๗๘๙")
FIRST, LAST = date(2400 - 543, 1, 1), date(2600 - 543, 12, 31)
ORACLE = json.loads((Path(__file__).parents[2] / "fixtures" / "thai" / "pythainlp.json").read_text())

DATES = st.dates(FIRST, LAST)
MONTHS = st.sampled_from(
    [
        lambda month: LONG[month],
        lambda month: SHORT[month],
        lambda month: SHORT[month].replace(".", ""),
        lambda month: SHORT[month].rstrip("."),
        lambda month: SHORT[month].replace(".", ". ").rstrip(),
        lambda month: LONG[month].removesuffix("คม").removesuffix("ยน"),
        lambda month: LONG[month].replace("ฎ", "ฏ").replace("์", ""),
        lambda month: "เดือน" + LONG[month],
        lambda month: "เดือน " + SHORT[month],
        lambda month: ENGLISH[month],
        lambda month: ENGLISH[month][:3].upper(),
    ]
)
GAPS = st.sampled_from(["", " ", "  ", "-", "/", " - ", "\n", "\u00a0", ", "])
ERAS = st.sampled_from(["", "พ.ศ. ", "พ.ศ.", "พศ. ", "พ.ศ", "พ. ศ. ", "พุทธศักราช ", "B.E. "])
DAYS = st.sampled_from(["{}", "{:02}"])
BEFORE = st.sampled_from(["", "วันที่ ", "ที่ ", "วันจันทร์ที่ ", "วันพฤหัสบดีที่", "อาทิตย์ "])


def digits(text: str, thai: bool) -> str:
    return text.translate(THAI_DIGITS) if thai else text


@given(DATES, MONTHS, DAYS, GAPS, GAPS, ERAS, BEFORE, st.booleans())
def test_a_date_with_a_months_name(day, month, number, gap, other, era, before, thai):
    written = f"{before}{number.format(day.day)}{gap}{month(day.month - 1)}{other}{era}{day.year + 543}"
    assert read_date(digits(written, thai)) == day


@given(DATES, DAYS, st.sampled_from(["/", "-", ".", " ", " / ", "\u2013", "- "]), ERAS, st.booleans())
def test_a_date_with_a_months_number(day, number, between, era, thai):
    written = [number.format(day.day), number.format(day.month), f"{era}{day.year + 543}"]
    assert read_date(digits(between.join(written), thai)) == day


@given(DATES, st.sampled_from(["-", "/", "."]), st.booleans(), st.booleans())
def test_a_date_with_its_year_first(day, between, thai, buddhist):
    year = day.year + 543 * buddhist
    assert read_date(digits(f"{year}{between}{day.month:02}{between}{day.day:02}", thai)) == day


@given(DATES, st.sampled_from(["", "ค.ศ. ", "A.D. ", "คริสต์ศักราช "]))
def test_a_year_of_the_common_era(day, era):
    assert read_date(f"{day.day} {LONG[day.month - 1]} {era}{day.year}") == day
    assert read_year(f"{era}{day.year}") == read_year(f"พ.ศ. {day.year + 543}") == read_year(f"{day.year + 543}")


@given(DATES, MONTHS)
def test_a_year_of_two_digits_is_no_year(day, month):
    assert read_date(f"{day.day} {month(day.month - 1)} {day.year % 100:02}") is None
    assert read_date(f"{day:%d/%m/%y}") is None
    assert read_year(f"{day:%y}") is None


@given(st.integers(1, 31), st.integers(1, 12), st.integers(2400, 2600))
def test_a_day_that_a_month_does_not_have_is_none(day, month, year):
    try:
        known = date(year - 543, month, day)
    except ValueError:
        known = None
    assert read_date(f"{day} {SHORT[month - 1]} {year}") == known


@given(st.text() | st.text("๑๒๓0123 /-.พศมกราคเดือนวันที่\n", max_size=30))
def test_whatever_stands_there_it_is_a_date_of_the_range_or_none(text):
    found = read_date(text)
    assert found is None or FIRST <= found <= LAST
    assert read_year(text) is None or FIRST.year <= read_year(text) <= LAST.year


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "22 มีนาคม",
        "มีนาคม 2562",
        "22 2562",
        "32 มีนาคม 2562",
        "22 มีน 2562",
        "22/13/2562",
        "22 มีนาคม ค.ศ. 2562",
        "22 มีนาคม พ.ศ. 2019",
        "22 มีนาคม 2399",
        "22 มีนาคม 2601",
        "22 มีนาคม 25620",
        "22 มีนาคม 2562 (สำเนา)",
        "ประมาณ 22 มีนาคม 2562",
        "٢٢ มีนาคม ٢٥٦٢",
        "22 มีนาคม ร.ศ. 2562",
    ],
)
def test_no_date(text):
    assert read_date(text) is None


def test_a_year_has_the_era_that_stands_before_it():
    assert read_year("ค.ศ. 2560") is read_year("พ.ศ. 2017") is None
    assert read_year("ปี พ.ศ. ๒๕๖๐") == 2017
    assert read_date("5 Sept. 2017") == date(2017, 9, 5)


def test_new_year_before_1941_is_no_matter():
    """The year is 543 less in every month, as registers compute it."""
    assert read_date("2 ก.พ. 2480") == date(1937, 2, 2)
    assert read_date("31 มีนาคม 2483") + timedelta(1) == read_date("1 เมษายน 2483")


def test_what_pythainlp_writes_is_read():
    assert {written: str(read_date(written)) for _, written in ORACLE["dates"]} == {b: a for a, b in ORACLE["dates"]}
