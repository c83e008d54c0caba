# SPDX-License-Identifier: Apache-2.0
"""Numbers with thousands separators, Thai digits and units, and what is no number."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.records.numbers import DIGITS, SCALE, read_decimal, read_integer

THAI_DIGITS = str.maketrans("0123456789", "๐๑๒๓๔๕๖๗๘๙")
UNITS = st.sampled_from(["", " กก.", "กก", " กิโลกรัม", " ก.ก.", " ซีซี", " ซี.ซี.", " CC", " แรงม้า", " คน", " ที่นั่ง", " บาท"])
NUMBERS = st.decimals(-(10 ** (DIGITS - SCALE)) + 1, 10 ** (DIGITS - SCALE) - 1, places=SCALE)


@given(NUMBERS, st.sampled_from(["", ","]), UNITS, st.booleans())
def test_a_number_with_its_unit(number, thousands, unit, thai):
    written = f"{number:{thousands}f}{unit}"
    assert read_decimal(written.translate(THAI_DIGITS) if thai else written) == number


@given(st.integers(-(10**14) + 1, 10**14 - 1), st.sampled_from(["", ".0", ".00"]))
def test_a_whole_number(number, zeros):
    assert read_integer(f"{number:,}{zeros}") == number
    assert read_integer(f"{number}.5") is None


@given(st.text() | st.text("0123456789.,-+ กซคบาท๐๑", max_size=25))
def test_whatever_stands_there_it_fits_the_column_or_is_none(text):
    number = read_decimal(text)
    assert number is None or (abs(number) < 10 ** (DIGITS - SCALE) and number == round(number, SCALE))
    assert number is None or str(number) != "-0"


@pytest.mark.parametrize(
    "text",
    ["", "-", "กก.", "1,32", "13,20,000", ",320", "1 320", "1.5 ตัน", "100 กิโลวัตต์", "1.5 ลิตร", "12%", "1.23456", "1e3",
     "10-20", "NaN", "1234567890123456", "1320 กก. รวม", "٣"],
)  # fmt: skip
def test_no_number(text):
    assert read_decimal(text) is None


def test_what_an_eye_reads():
    assert read_decimal("๑,๑๗๙ กก.") == 1179
    assert read_decimal("1, 798 ซี.ซี.") == 1798
    assert read_decimal("฿1,250.50") == Decimal("1250.50")
    assert read_integer("๕ คน") == 5
    assert read_decimal("000000000000001179.50000000") == Decimal("1179.5")
    assert str(read_decimal("-0.0")) == "0"
