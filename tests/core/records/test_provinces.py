# SPDX-License-Identifier: Apache-2.0
"""The 77 provinces by every name that they have in documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.records.provinces import PROVINCES, Province, read_province
from airflow_provider_aigen.core.records.text import loose

ORACLE = json.loads((Path(__file__).parents[2] / "fixtures" / "thai" / "pythainlp.json").read_text())


def test_they_are_those_of_pythainlp():
    assert sorted(PROVINCES.values()) == ORACLE["provinces"]
    assert len({loose(name) for name in PROVINCES.values()}) == 77


@pytest.mark.parametrize("written", ["{}", " {}\n", "จังหวัด{}", "จังหวัด {}", "จ.{}", "จ. {}", "จว.{}", "จ {}"])
def test_each_with_its_prefixes(written):
    for number, name in PROVINCES.items():
        assert read_province(written.format(name)) == Province(name, f"TH-{number}")
        assert read_province(written.format(name.replace("์", ""))) == Province(name, f"TH-{number}")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("กรุงเทพฯ", "กรุงเทพมหานคร"), ("กรุงเทพ ฯ", "กรุงเทพมหานคร"), ("กทม", "กรุงเทพมหานคร"), ("ก.ท.ม.", "กรุงเทพมหานคร"),
        ("พระนคร", "กรุงเทพมหานคร"), ("ธนบุรี", "กรุงเทพมหานคร"), ("จังหวัดธนบุรี", "กรุงเทพมหานคร"), ("อยุธยา", "พระนครศรีอยุธยา"),
        ("กรุงเก่า", "พระนครศรีอยุธยา"), ("สุราษฏร์ธานี", "สุราษฎร์ธานี"), ("ศรีษะเกษ", "ศรีสะเกษ"), ("ขุขันธ์", "ศรีสะเกษ"),
        ("ร้อยเอ็จ", "ร้อยเอ็ด"), ("ไชยภูมิ", "ชัยภูมิ"), ("เพ็ชร์บุรี", "เพชรบุรี"), ("ประทุมธานี", "ปทุมธานี"),
        ("หนองบัวลำพู", "หนองบัวลำภู"),
        ("จ.หนองบัวล\u0e4d\u0e32ภู", "หนองบัวลำภู"), ("เเพร่", "แพร่"),
    ],
)  # fmt: skip
def test_short_names_and_old_spellings(written, name):
    found = read_province(written)
    assert found is not None
    assert found.name == name


def test_betong_is_a_province_to_plates():
    assert read_province("เบตง") == read_province("จ.เบตง") == ("เบตง", "TH-95")
    assert read_province("ยะลา") == ("ยะลา", "TH-95")


@pytest.mark.parametrize("text", ["", "-", "จังหวัด", "จ.", "เชียง", "เชียงใหม่ 50000", "Bangkok", "อำเภอเมือง", "พัทยา"])
def test_no_province(text):
    assert read_province(text) is None


@given(st.text())
def test_whatever_stands_there_it_is_one_of_them_or_none(text):
    found = read_province(text)
    assert found is None or found.name in {*PROVINCES.values(), "เบตง"}
