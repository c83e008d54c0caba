# SPDX-License-Identifier: Apache-2.0
"""The truth goes into an image and comes out again, whatever stands in it."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from airflow_provider_aigen.simulator import Degradation, Marker, TrueField, Truth, add_truth, save_image
from airflow_provider_aigen.simulator.answers import confidence_of
from airflow_provider_aigen.simulator.images import read_scan
from airflow_provider_aigen.simulator.pdf import pdf_of
from tests.simulator.calls import picture, scan, truth

CORNERS = st.tuples(*[st.tuples(st.integers(0, 9999), st.integers(0, 9999))] * 4)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
FIELDS = st.dictionaries(TEXTS, st.builds(TrueField, TEXTS, st.lists(CORNERS, max_size=2).map(tuple)), max_size=4)
MARKERS = st.none() | st.builds(
    Marker,
    status=st.integers(200, 599),
    code=st.none() | TEXTS,
    message=st.none() | TEXTS,
    pages=st.integers(0, 4),
    failed_pages=st.lists(st.integers(1, 4)).map(tuple),
    times=st.none() | st.integers(0, 3),
    headers=st.dictionaries(TEXTS, TEXTS, max_size=2),
)
TRUTHS = st.builds(
    Truth, TEXTS, FIELDS, st.builds(Degradation, st.floats(0, 9), st.floats(0, 99), st.floats(-9, 9)), MARKERS
)


@given(TRUTHS, st.booleans())
def test_json_and_back(said, ascii_only):
    text = said.to_json(ascii_only=ascii_only)
    assert Truth.from_json(text) == said
    assert Truth.from_json(text.encode()) == said
    assert text.isascii() or not ascii_only


@pytest.mark.parametrize("media_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@given(said=TRUTHS)
def test_image_and_back(media_format, said):
    image = save_image(Image.new("L", (8, 8)), media_format, said)
    assert [page.truth for page in read_scan(image).pages] == [said]


@given(TRUTHS, TRUTHS)
def test_a_jpeg_gets_a_truth_and_then_another_and_keeps_its_picture(first, second):
    once = add_truth(picture(8, 8), first)
    twice = add_truth(once, second)
    assert read_scan(twice).pages[0].truth == second
    assert twice == add_truth(picture(8, 8), second)
    with Image.open(io.BytesIO(once)) as image, Image.open(io.BytesIO(picture(8, 8))) as before:
        assert image.tobytes() == before.tobytes()


@pytest.mark.parametrize(
    "text",
    [b"", b"Created with a camera", b"{}", b"[]", b"null", b'{"aigen_simulator": 2}', b'{"aigen_simulator": 1}',
     b"\xff", b'{"aigen_simulator": 1, "document": "x", "fields": {"a": 1}, "degradation": {}}', b"[" * 100_000,
     b'{"aigen_simulator": 1, "document": "x", "fields": {}, "degradation": {}, "simulate": {"sttus": 4}}'],
)  # fmt: skip
def test_other_comments_are_no_truth(text):
    assert Truth.from_json(text) is None


@pytest.mark.parametrize("asked", [{}, {"status": 200, "fault": "reset"}, {"fault": "reset", "page_error": True}])
def test_a_marker_asks_for_one_thing(asked):
    with pytest.raises(ValueError, match="one of them"):
        Marker(**asked)


def test_a_pdf_has_the_truth_of_each_page_and_equal_pages_make_equal_files():
    second = scan(truth(document="another"), shade=9)
    made = pdf_of([scan(), picture(), second])
    found = read_scan(made)
    assert found.is_pdf
    assert [page.truth and page.truth.document for page in found.pages] == [
        "vehicle-registration-book",
        None,
        "another",
    ]
    assert [(page.width, page.height) for page in found.pages] == [(600, 800)] * 3
    assert made == pdf_of([scan(), picture(), second])


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"%PDF-1.4\n", b"BM", b"II*\0"]),
)
def test_nothing_that_is_read_raises(data, start):
    read_scan(start + data)


@given(st.floats(0, 1), st.floats(0, 3), st.floats(0, 3), st.floats(0, 20), st.floats(0, 20), st.floats(-2, 2))
def test_confidence_falls_with_blur_and_noise_and_stays_from_0_to_1(luck, blur, more_blur, noise, more_noise, rotation):
    better = confidence_of(Degradation(blur, noise, rotation), luck)
    worse = confidence_of(Degradation(blur + more_blur, noise + more_noise, rotation), luck)
    assert 0 <= worse <= better <= 1
