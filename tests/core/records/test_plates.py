# SPDX-License-Identifier: Apache-2.0
"""Plates of each kind in one spelling. All of them are invented."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.records.plates import read_plate
from airflow_provider_aigen.core.records.provinces import PROVINCES, read_province

CONSONANTS = "กขคฆงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ"
THAI_DIGITS = str.maketrans("0123456789", "๐๑๒๓๔๕๖๗๘๙")
LABELS = st.sampled_from(["", "ทะเบียน ", "เลขทะเบียน", "หมายเลขทะเบียน "])
PLACES = st.sampled_from(["", " เบตง", " กทม.", *(f" {name}" for name in PROVINCES.values()), "\nจ.เลย"])
NUMBERS = st.integers(1, 9999)


@given(
    st.sampled_from(["", *"123456789"]),
    st.text(CONSONANTS, min_size=1, max_size=3).filter(lambda letters: read_province(letters) is None),
    NUMBERS, st.sampled_from(["", " ", "-", " - ", "\u2013", "  "]), LABELS, PLACES, st.booleans(),
)  # fmt: skip
def test_a_car_or_a_motorcycle(digit, letters, number, between, label, place, thai):
    written = f"{label}{digit}{letters}{between}{number}{place}"
    assert read_plate(written.translate(THAI_DIGITS) if thai else written) == f"{digit}{letters} {number}"


@given(st.integers(10, 99), NUMBERS, st.sampled_from(["-", " - ", " ", "", "\u2013"]), PLACES, st.booleans())
def test_a_lorry_or_a_bus(series, number, between, place, thai):
    written = f"{series}{between}{number:04}{place}"
    assert read_plate(written.translate(THAI_DIGITS) if thai else written) == f"{series}-{number:04}"


WORDS = ["รวย", "เฮง", "โชคดี", "มั่งมี", "ปีใหม่", "รักเธอ", "แจ๋ว", "เศรษฐี", "พลัง", "น้ำใส", "สุขใจ", "ไทย", "ก้าวหน้า", "ธรรม"]


@given(st.sampled_from(WORDS), NUMBERS, st.sampled_from(["", " ", "-"]))
def test_a_word_with_vowels_that_was_sold_at_auction(word, number, between):
    assert read_plate(f"{word}{between}{number}") == f"{word} {number}"


def test_spaces_and_dots_in_the_series_are_none_of_it():
    assert read_plate("1 กข 2345") == read_plate("1 ก ข 2345") == read_plate("1ก.ข. 2345") == "1กข 2345"
    for water in ("น\u0e4d\u0e49\u0e32", "น\u0e49\u0e4d\u0e32", "น้ำ"):
        assert read_plate(f"{water}ใส 9") == "น้ำใส 9", "sara am in two characters"


@pytest.mark.parametrize(
    "text",
    ["", "-", "กข", "2345", "กข 0", "กข 12345", "12กข 345", "0กข 345", "ABC 123", "1กข 2345 สีขาว", "ขอนแก่น 1234",
     "70-123", "70-12345", "09-1234", "70-0000", "กข 23 45", "ะกข 123", "่ก 12", "กขกขกขกขกขกขก 1", "สีขาว"],
)  # fmt: skip
def test_no_plate(text):
    assert read_plate(text) is None


@given(st.text() | st.text("๑๒123 -.กขเแ้ำี", max_size=20))
def test_a_plate_that_is_read_is_read_as_itself(text):
    plate = read_plate(text)
    assert plate is None or read_plate(plate) == plate
