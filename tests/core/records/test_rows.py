# SPDX-License-Identifier: Apache-2.0
"""Ten books as they are read, and their right rows. People, plates and numbers are invented."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import FieldRow, FieldRows
from airflow_provider_aigen.core.records.rows import RecordRow, read_records
from airflow_provider_aigen.core.records.schema import TYPES, built_in_schema, record_columns

BOOK = record_columns(built_in_schema("vehicle-registration-book/v2", "dt=2026-11-22"))

# What is read, what stands in the row (the columns that are named), and what could not be read.
BOOKS: dict[str, tuple[dict[str, str | None], dict[str, Any], list[str]]] = {
    "a car": (
        {
            "registration_date": "22 มีนาคม 2562", "registration_number_car": "9กง 7594", "province": "ขอนแก่น",
            "type": "รย.1 รถยนต์นั่งส่วนบุคคลไม่เกิน 7 คน", "brand_car": "TOYOTA", "year_model": "2018", "engine_size": "1798",
            "weight_car": "1179", "number_of_seat": "5", "date_of_posession": "1 เมษายน 2562",
            "ownership_birthday_date": "9 ตุลาคม 2510", "ownership": "นาย ทดสอบ ระบบงาน",
        },
        {
            "registration_date": date(2019, 3, 22), "registration_number_car": "9กง 7594", "province": "ขอนแก่น",
            "province_code": "TH-40", "type": "รย.1 รถยนต์นั่งส่วนบุคคลไม่เกิน 7 คน", "brand_car": "TOYOTA",
            "year_model": 2018, "engine_size": Decimal(1798), "weight_car": Decimal(1179), "number_of_seat": 5,
            "date_of_posession": date(2019, 4, 1), "ownership_birthday_date": date(1967, 10, 9),
            "ownership": "นาย ทดสอบ ระบบงาน", "color": None,
        },
        [],
    ),
    "a motorcycle in Thai digits": (
        {
            "registration_date": "๕ ม.ค. ๒๕๕๐", "registration_number_car": "กขค ๑๒๓", "province": "จ.เชียงใหม่",
            "engine_size": "๑๒๔.๙ ซีซี", "weight_car": "๙๗ กก.", "number_of_seat": "๒", "horsepower": "-",
        },
        {
            "registration_date": date(2007, 1, 5), "registration_number_car": "กขค 123", "province": "เชียงใหม่",
            "province_code": "TH-50", "engine_size": Decimal("124.9"), "weight_car": Decimal(97), "number_of_seat": 2,
            "horsepower": None,
        },
        [],
    ),
    "a lorry": (
        {
            "registration_number_car": "70 - 1234", "province": "จังหวัดสมุทรปราการ", "weight_car": "5,480 กก.",
            "weight_all": "15,000 กิโลกรัม", "engine_size": "7,684 ซี.ซี.", "horsepower": "240 แรงม้า",
            "number_of_seat": "3 คน",
        },
        {
            "registration_number_car": "70-1234", "province": "สมุทรปราการ", "province_code": "TH-11",
            "weight_car": Decimal(5480), "weight_all": Decimal(15000), "engine_size": Decimal(7684),
            "horsepower": Decimal(240), "number_of_seat": 3,
        },
        [],
    ),
    "a plate that was sold at auction": (
        {"registration_number_car": "โชคดี 99", "province": "กรุงเทพฯ", "registration_date": "14/02/2567"},
        {
            "registration_number_car": "โชคดี 99", "province": "กรุงเทพมหานคร", "province_code": "TH-10",
            "registration_date": date(2024, 2, 14),
        },
        [],
    ),
    "Betong": (
        {"registration_number_car": "กก-1", "province": "เบตง"},
        {"registration_number_car": "กก 1", "province": "เบตง", "province_code": "TH-95"},
        [],
    ),
    "years of two digits": (
        {"registration_date": "3 มี.ค. 48", "ownership_birthday_date": "01/02/10", "registration_number_car": "ศศ 777"},
        {"registration_date": None, "ownership_birthday_date": None, "registration_number_car": "ศศ 777"},
        ["registration_date", "ownership_birthday_date"],
    ),
    "an old book": (
        {
            "registration_date": "วันที่ 2 เดือน กุมภาพันธ์ พ.ศ. 2513", "registration_number_car": "ก.ท. 1234",
            "province": "พระนคร", "ownership_birthday_date": "31 มีนาคม 2455",
        },
        {
            "registration_date": date(1970, 2, 2), "registration_number_car": "กท 1234", "province": "กรุงเทพมหานคร",
            "province_code": "TH-10", "ownership_birthday_date": date(1912, 3, 31),
        },
        [],
    ),
    "a book in ruins": (
        {
            "registration_date": "2? มีนาคม 2562", "registration_number_car": "XX", "province": "ขอนแก",
            "year_model": "201", "weight_car": "1.2 ตัน", "horsepower": "100 กิโลวัตต์", "number_of_seat": "ห้า",
            "brand_car": " HONDA\nCIVIC ",
        },
        {
            "registration_date": None, "registration_number_car": None, "province": None, "province_code": None,
            "year_model": None, "weight_car": None, "horsepower": None, "number_of_seat": None,
            "brand_car": "HONDA CIVIC",
        },
        ["registration_date", "registration_number_car", "province", "year_model", "horsepower", "weight_car",
         "number_of_seat"],
    ),
    "odd Unicode": (
        {
            "province": "หนองบัวล\u0e4d\u0e32ภู", "registration_date": "29\u00a0ก.พ.\u200b 2555", "color": "เเดง",
            "ownership_adress": "99/1  ถนนน\u0e4d\u0e49\u0e32ใส\nเขตตัวอย่าง",
        },
        {
            "province": "หนองบัวลำภู", "province_code": "TH-39", "registration_date": date(2012, 2, 29), "color": "แดง",
            "ownership_adress": "99/1 ถนนน้ำใส เขตตัวอย่าง",
        },
        [],
    ),
    "an empty form": (
        {"registration_date": None, "registration_number_car": "", "province": " - ", "weight_car": "…", "color": "—"},
        {"registration_date": None, "registration_number_car": None, "province": None, "color": None},
        ["weight_car"],
    ),
}  # fmt: skip


def rows(fields: dict[str, str | None], page: int = 1, confidence: float | None = 0.9) -> FieldRows:
    return FieldRows.of(FieldRow(page, name, value, confidence) for name, value in fields.items())


def by_name(record: RecordRow) -> dict[str, Any]:
    return dict(zip((column.name for column in BOOK), record.values, strict=True))


@pytest.mark.parametrize("book", BOOKS)
def test_a_book_has_its_right_row(book):
    fields, right, unreadable = BOOKS[book]
    (record,) = read_records(rows(fields), BOOK, None)
    values = by_name(record)
    assert {name: values[name] for name in right} == right
    assert {values[name] for name in values.keys() - right} == {None}
    assert record.unreadable == tuple(unreadable)
    assert record.needs_review == bool(unreadable)


def test_there_is_one_row_per_page_with_its_lowest_confidence():
    first = [FieldRow(1, "color", "แดง", 0.4), FieldRow(1, "other", "x", 0.2), FieldRow(1, "type", "รย.1", None)]
    pages = read_records(FieldRows.of([*first, *rows({"color": "ดำ"}, 3)]), BOOK, 0.5)
    assert [(one.page_number, by_name(one)["color"], one.min_confidence) for one in pages] == [
        (1, "แดง", 0.2),
        (3, "ดำ", 0.9),
    ]
    assert [one.needs_review for one in pages] == [True, False]
    (unsure,) = read_records(rows({"color": None}, 1, None), BOOK, 0.5)
    assert (unsure.needs_review, unsure.min_confidence) == (True, None), "as its field does"
    (known,) = read_records(rows({"color": "ดำ"}, 1, None), BOOK, None)
    assert not known.needs_review


VALUES = st.none() | st.text() | st.text("๑๒123 -.,/กขคมพศเ้ำี", max_size=20)


@given(st.lists(st.tuples(st.integers(1, 3), st.sampled_from(TYPES), VALUES), max_size=9), st.none() | st.floats(0, 1))
def test_whatever_was_read_there_is_a_row_per_page_and_nothing_fails(fields, limit):
    given_rows = [FieldRow(page, name, value, 0.5) for page, name, value in sorted(fields, key=lambda one: one[0])]
    columns = record_columns(tuple((name, name) for name in TYPES))
    records = read_records(FieldRows.of(given_rows), columns, limit)
    assert [record.page_number for record in records] == sorted({page for page, *_ in fields})
    for record in records:
        values = dict(zip((column.name for column in columns), record.values, strict=True))
        assert all(values[name] is None for name in record.unreadable)
        assert "" not in values.values()


def test_no_repr_shows_a_value():
    (record,) = read_records(rows({"ownership": "นาย ทดสอบ"}), BOOK, None)
    assert "ทดสอบ" not in repr(record)
