# SPDX-License-Identifier: Apache-2.0
"""The quick way gives the rows of the general one, or none at all."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.document.flatten import _page
from airflow_provider_aigen.core.document.plain_page import plain_page

CORNERS = [[1, 2], [3, 2], [3, 4.5], [1, 4.5]]
PLAIN = {"value": "แดง", "confidence": 0.5, "bboxes": [CORNERS], "bboxes_norm": [CORNERS, CORNERS[:3]]}

VALUES = st.none() | st.text(max_size=4) | st.sampled_from([7, True, 1.5, [], {}, {"value": "x"}])
CONFIDENCES = st.none() | st.floats(0, 1) | st.sampled_from([0, 1, -0.0, True, -1.0, 2, math.nan, "0.5", 10**400])
NUMBERS = st.integers(-9, 9) | st.floats() | st.sampled_from([10**400, True, None, "1", 1e308])
BOXES = st.none() | st.lists(st.lists(st.lists(NUMBERS, min_size=1, max_size=3), max_size=2), max_size=2)
FIELDS = st.fixed_dictionaries(
    {"value": VALUES, "confidence": CONFIDENCES, "bboxes": BOXES, "bboxes_norm": BOXES},
    optional={"note": st.text(max_size=2)},
)
POINTS = st.lists(st.integers(-9, 9) | st.floats(), min_size=2, max_size=2)
LIKELY = st.fixed_dictionaries(
    {
        "value": st.none() | st.text(max_size=4),
        "confidence": st.none() | st.floats(0, 1) | st.integers(0, 1),
        "bboxes": st.none() | st.lists(st.lists(POINTS), max_size=2),
        "bboxes_norm": st.just([CORNERS]),
    }
)
PAGES = st.dictionaries(st.text("ab.[", max_size=3), LIKELY | LIKELY | FIELDS, max_size=3)


@given(PAGES)
def test_its_rows_are_those_of_any_page(page):
    found = plain_page(3, page)
    assert found is None or tuple(map(repr, found)) == tuple(map(repr, _page(3, page)))
    assert found is None or (found == _page(3, page) and found.values == _page(3, page).values)


@pytest.mark.parametrize(
    "member",
    [{}, {"value": None}, {"confidence": None}, {"confidence": 1}, {"bboxes": None}, {"bboxes": []}],
)
def test_what_the_contract_has_is_taken_the_quick_way(member):
    found = plain_page(1, {"plate": PLAIN | member, "color": PLAIN})
    assert found is not None
    assert tuple(found) == tuple(_page(1, {"plate": PLAIN | member, "color": PLAIN}))


@pytest.mark.parametrize(
    "member",
    [
        {"value": 7},
        {"confidence": -1.0},
        {"confidence": True},
        {"confidence": math.nan},
        {"bboxes": [[]]},
        {"bboxes": [[[1, 2, 3]]]},
        {"bboxes": [["12"]]},
        {"bboxes": ["text"]},
        {"bboxes": [[[True, 2]]]},
        {"bboxes_norm": [[[math.inf, 2]]]},
        {"bboxes_norm": [[[10**400, 2]]]},
        {"bboxes_norm": {"a": 1}},
        {"note": "x"},
    ],
)
def test_whatever_else_a_page_has_is_not(member):
    assert plain_page(1, {"plate": PLAIN, "color": PLAIN | member}) is None
