# SPDX-License-Identifier: Apache-2.0
"""Drawn books: all fields of the contract, text where the truth says it is, no character without a glyph."""

from __future__ import annotations

import collections
import io
import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops

from airflow_provider_aigen.simulator import Degradation, TrueField
from airflow_provider_aigen.simulator.books import book_file, book_page, plain_book, plain_card
from airflow_provider_aigen.simulator.books.degrade import degraded, draw_degradation, turned
from airflow_provider_aigen.simulator.books.form import LINES, blank_form
from airflow_provider_aigen.simulator.books.invented import invented_book, invented_card
from airflow_provider_aigen.simulator.books.lettering import BOLD, REGULAR
from airflow_provider_aigen.simulator.books.page import draw_page
from airflow_provider_aigen.simulator.images import read_scan

CONTRACT = Path(__file__).resolve().parents[3] / "docs" / "contract.md"
SEEDS = st.integers(0, 10**6).map(random.Random)


def contract_fields() -> set[str]:
    text = CONTRACT.read_text(encoding="utf-8").partition("## Field names")[2].partition("\n## ")[0]
    return set(re.findall(r"`([a-z_]{4,})`", text))


def test_a_book_has_the_26_fields_of_the_contract():
    names = set(invented_book(random.Random(1)))
    assert len(names) == 26
    assert names == contract_fields()
    assert set(LINES) == names | {"ownership_adress:2"}


@given(SEEDS)
def test_every_invented_value_fits_the_form_and_has_its_glyphs(chance):
    values = invented_book(chance)
    for name, value in values.items():
        line = LINES[name]
        image = Image.new("L", (3000, 200))
        REGULAR.draw(image, (20, 100), value, 34, 255)  # ValueError for a character without a glyph
        lines = 1.6 if name == "ownership_adress" else 1
        assert REGULAR.width(value, 34) <= lines * (line.right - line.left), name


@given(SEEDS)
def test_card_numbers_fail_their_check_digit(chance):
    for values in (invented_book(chance), invented_card(chance)):
        number = values.get("ownership_number_of_card") or values["id_number"]
        digits = [int(digit) for digit in number if digit.isdigit()]
        assert len(digits) == 13
        check = (11 - sum((13 - i) * digit for i, digit in enumerate(digits[:12])) % 11) % 10
        assert digits[12] != check


def test_a_character_without_a_glyph_is_refused():
    with pytest.raises(ValueError, match="no glyph"):
        BOLD.draw(Image.new("L", (99, 99)), (0, 50), "漢", 20, 255)


def test_thai_marks_are_shaped():
    def ink(text: str) -> tuple[int, int, int, int]:
        return REGULAR.draw(Image.new("L", (300, 200)), (20, 120), text, 60, 255)

    # A tone mark stands on the vowel below it, not in it; marks take no room, and keep clear of a tall stem.
    assert ink("ที")[1] - ink("ที่")[1] >= 10
    assert ink("น")[1] - ink("น้ำ")[1] >= 25
    assert REGULAR.width("ที่", 60) == REGULAR.width("ท", 60)
    assert ink("ปี")[2] == ink("ป")[2]


def test_ink_lies_in_the_boxes_and_nowhere_else_but_stamp_and_signature():
    page, fields = draw_page(invented_book(random.Random(5)), random.Random(5))
    changed = ImageChops.difference(page, blank_form()).convert("L").point(lambda value: 255 if value > 40 else 0)
    for name, field in fields.items():
        for box in field.boxes:
            (left, top), _, (right, bottom), _ = box
            ink = changed.crop((left, top, right, bottom)).getbbox()
            # The box stands four pixels off the ink on each side.
            assert ink is not None, name
            assert max(ink[:2]) <= 6, name
            changed.paste(0, (left, top, right, bottom))
    assert changed.crop((0, 0, page.width, 1870)).getbbox() is None


@pytest.mark.parametrize("rotation", [-1.6, 0.0, 0.7, 1.6])
def test_boxes_turn_with_the_page(rotation):
    image = Image.new("RGB", (1654, 2339), "white")
    image.paste("black", (1300, 300, 1400, 330))
    how = Degradation(rotation=rotation)
    box = ((1300, 300), (1400, 300), (1400, 330), (1300, 330))
    scanned = degraded(image, how, random.Random(1)).convert("L").point(lambda value: 255 if value < 100 else 0)
    corners = turned({"mark": TrueField("x", (box,))}, how, image.size)["mark"].boxes[0]
    left, top, right, bottom = scanned.getbbox()
    assert abs(min(x for x, _ in corners) - left) <= 1
    assert abs(max(x for x, _ in corners) - right) <= 1
    assert abs(min(y for _, y in corners) - top) <= 1
    assert abs(max(y for _, y in corners) - bottom) <= 1
    # Still from the top left, clockwise.
    assert corners[0][0] < corners[1][0]
    assert corners[0][1] < corners[3][1]


def test_half_of_the_books_are_good_scans_and_some_are_poor():
    blurs = [draw_degradation(random.Random(n)).blur for n in range(1000)]
    kinds = collections.Counter("good" if blur < 0.7 else "worn" if blur < 1.5 else "poor" for blur in blurs)
    assert 440 < kinds["good"] < 560
    assert 110 < kinds["poor"] < 190


def test_a_book_is_a4_at_200_dpi_with_its_truth_and_the_same_bytes_each_time():
    data = book_file(11, 7)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, image.format, image.info["dpi"]) == ((1654, 2339), "JPEG", (200, 200))
    _, truth = book_page(11, 7)
    assert read_scan(data).pages[0].truth == truth
    assert len(truth.fields) == 26
    assert all(field.value and field.boxes for field in truth.fields.values())
    corners = [corner for field in truth.fields.values() for box in field.boxes for corner in box]
    assert all(0 < x < 1654 and 0 < y < 2339 for x, y in corners)
    assert 100_000 < len(data) < 450_000
    assert data == book_file(11, 7)
    assert data != book_file(11, 8) != book_file(12, 7)


@pytest.mark.parametrize(("media_format", "most"), [("PNG", 450_000), ("TIFF", 150_000), ("WEBP", 450_000)])
def test_a_book_in_other_formats(media_format, most):
    data = book_file(3, 7, media_format)
    (page,) = read_scan(data).pages
    assert (page.width, page.height, len(page.truth.fields)) == (1654, 2339, 26)
    assert len(data) < most


def test_plain_documents_are_small_and_each_is_another():
    books = {plain_book(n) for n in range(20)}
    assert len(books) == 20
    assert all(len(book) < 70_000 for book in books)
    page = read_scan(plain_book(1)).pages[0]
    assert (page.width, page.height, set(page.truth.fields)) == (827, 1169, contract_fields())
    assert read_scan(plain_card(1)).pages[0].truth.document == "idcard"
