# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.document.flatten import flatten, needs_review, span
from airflow_provider_aigen.core.models import Answer, FieldRow
from airflow_provider_aigen.core.service.wire import MAX_DEPTH, parse_answer

CORNERS = [[1, 2], [3, 2], [3, 4.5], [1, 4.5]]
BOX = ((1.0, 2.0), (3.0, 2.0), (3.0, 4.5), (1.0, 4.5))


def rows(*pages) -> tuple[FieldRow, ...]:
    return tuple(flatten(Answer(200, pages)))


def values(*pages) -> list[tuple[int, str, str | None]]:
    return [(row.page_number, row.field_name, row.value) for row in rows(*pages)]


def test_a_field_object():
    field = {"value": "1กข 2345", "confidence": 0.25, "bboxes": [CORNERS], "bboxes_norm": [], "unknown": 7}
    assert rows({"plate": field}) == (FieldRow(1, "plate", "1กข 2345", 0.25, (BOX,), (), '{"unknown": 7}'),)


def test_rows_come_in_the_order_of_the_wire_and_empty_pages_count():
    assert values({"z": {"value": "1"}, "a": {"value": "2"}}, {}, {"m": {"value": "3"}}) == [
        (1, "z", "1"),
        (1, "a", "2"),
        (3, "m", "3"),
    ]


def test_nested_fields_have_paths():
    page = {
        "owner": {"name": {"value": "n"}, "address": {"street": {"value": "s", "confidence": 1}}},
        "seats": [{"value": "a"}, {"number": {"value": "b"}}, ["c", None]],
    }
    assert values(page) == [
        (1, "owner.name", "n"),
        (1, "owner.address.street", "s"),
        (1, "seats[0]", "a"),
        (1, "seats[1].number", "b"),
        (1, "seats[2][0]", "c"),
        (1, "seats[2][1]", None),
    ]


# Case 12: fields that share a name, or stand beside a `value`.
@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (
            {"total": {"value": {"currency": {"value": "THB"}}, "note": {"value": "n"}}},
            {"total.value.currency": "THB", "total.note": "n"},
        ),
        ({"a.b": {"value": "1"}, "a": {"b": {"value": "2"}}}, {'["a.b"]': "1", "a.b": "2"}),
        ({"a": {"b": {"value": "2"}}, "a.b": {"value": "1"}}, {"a.b": "2", '["a.b"]': "1"}),
        ({"a.b": {"value": "1"}, "No.": {"value": "2"}}, {"a.b": "1", "No.": "2"}),
        ({"a[0]": {"value": "1"}, "a": [{"value": "2"}]}, {'["a[0]"]': "1", "a[0]": "2"}),
        ({"a": {"": {"value": "1"}}, "a.": {"value": "2"}}, {'a[""]': "1", '["a."]': "2"}),
        ({"": {"b": {"value": "1"}}, ".b": {"value": "2"}}, {'[""].b': "1", '[".b"]': "2"}),
        (
            {'["a.b"]': {"value": "0"}, "a.b": {"value": "1"}, "a": {"b": {"value": "2"}}},
            {'["[\\"a.b\\"]"]': "0", '["a.b"]': "1", "a.b": "2"},
        ),
        ({"g": {"value": {"value": "1"}, "note": "text"}}, {"g.value": "1", "g.note": "text"}),
        ({"f": {"value": "1", "items": [{"value": "2"}]}}, {"f": "1", "f.items[0]": "2"}),
        ({"f": {"value": None, "value_en": {"value": "2"}}}, {"f": None, "f.value_en": "2"}),
        ({"f": {"confidence": {"value": "1"}}}, {"f.confidence": "1"}),
    ],
)
def test_every_field_has_a_row_and_a_name_of_its_own(page, expected):
    assert [(row.field_name, row.value) for row in rows(page)] == list(expected.items())


@pytest.mark.parametrize(
    ("members", "extra"),
    [
        ({}, None),
        ({"confidence": None, "bboxes": None}, None),
        ({"datetime_iso": "2026-11-22"}, '{"datetime_iso": "2026-11-22"}'),
        (
            {"valid": False, "error_message": ["ผิด"], "nothing": None},
            '{"valid": false, "error_message": ["ผิด"], "nothing": null}',
        ),
        ({"parts": {"year": "2562"}}, '{"parts": {"year": "2562"}}'),
        ({"confidence": -1.0}, '{"confidence": -1.0}'),
        (
            {"confidence": math.nan, "x": [math.inf, {"y": -math.inf}]},
            '{"confidence": "nan", "x": ["inf", {"y": "-inf"}]}',
        ),
        ({"bboxes": [[1, 2, 3, 4]], "bboxes_norm": "text"}, '{"bboxes": [[1, 2, 3, 4]], "bboxes_norm": "text"}'),
    ],
)
def test_other_members_of_a_field_object_are_extra(members, extra):
    (row,) = rows({"f": {"value": "v", **members}})
    assert (row.field_name, row.value, row.extra) == ("f", "v", extra)


@pytest.mark.parametrize(
    ("plain", "text"),
    [
        ("text", "text"),
        ("", ""),
        (None, None),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (12, "12"),
        (1.50, "1.5"),
        (0.0, "0.0"),
        (math.nan, "nan"),
        ({}, None),
        ([], None),
    ],
)
def test_a_plain_scalar_is_a_field_and_an_empty_one_has_no_value(plain, text):
    assert values({"f": plain}) == [(1, "f", text)]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12, "12"),
        (1.5, "1.5"),
        (True, "true"),
        ({"ชื่อ": [1, None]}, '{"ชื่อ": [1, null]}'),
        (["a"], '["a"]'),
        ({}, "{}"),
        ([], "[]"),
        ("a\x00b", "a\x00b"),
    ],
)
def test_a_value_that_is_no_string_is_its_json(value, text):
    assert values({"f": {"value": value}}) == [(1, "f", text)]


@pytest.mark.parametrize("field", [{"confidence": 0.5}, {"bboxes": None}, {"bboxes_norm": []}, {"value": None}])
def test_any_key_of_a_field_object_makes_one(field):
    assert values({"f": field}) == [(1, "f", None)]


@pytest.mark.parametrize(
    ("confidence", "expected"),
    [
        (0, 0.0),
        (1, 1.0),
        (0.5, 0.5),
        ("0.5", 0.5),
        (" .5 ", 0.5),
        ("1.", 1.0),
        ("5e-1", 0.5),
        ("+1", 1.0),
        (-1.0, None),
        ("-1.0", None),
        (1.0001, None),
        (95, None),
        (math.nan, None),
        (math.inf, None),
        ("nan", None),
        ("inf", None),
        ("0_1", None),
        ("๕", None),
        ("50%", None),
        ("", None),
        ("9" * 5000, None),
        ("1e" + "9" * 5000, None),
        (10**300, None),
        (True, None),
        (False, None),
        (None, None),
        ([0.5], None),
        ({"a": 1}, None),
    ],
)
def test_confidence_is_a_number_from_0_to_1_or_none(confidence, expected):
    (row,) = rows({"f": {"value": "v", "confidence": confidence}})
    assert row.confidence == expected
    assert row.confidence is None or isinstance(row.confidence, float)


@pytest.mark.parametrize("zero", [-0.0, "-0", "-0.0"])
def test_a_confidence_of_zero_has_one_sign(zero):
    (row,) = rows({"f": {"confidence": zero}})
    assert math.copysign(1, row.confidence) == 1


@pytest.mark.parametrize(
    ("confidence", "limit", "review"),
    [
        (0.8, 0.8, False),
        (0.79, 0.8, True),
        (None, 0.8, True),
        (-1.0, 0.8, True),
        (None, 0.0, True),
        (0.0, 0.0, False),
        (0.1, None, False),
        (None, None, False),
    ],
)
def test_review_is_needed_under_the_limit_or_without_a_confidence(confidence, limit, review):
    (row,) = rows({"f": {"value": "v", "confidence": confidence}})
    assert needs_review(row.confidence, limit) is review


@pytest.mark.parametrize(
    ("boxes", "expected"),
    [
        (None, None),
        ([], ()),
        ([CORNERS], (BOX,)),
        ([CORNERS, CORNERS[:3]], (BOX, BOX[:3])),
        ([[]], None),
        ([CORNERS, None], None),
        ([[1, 2, 3, 4]], None),
        (CORNERS, None),
        ([[[1, 2, 3]]], None),
        ([[[1]]], None),
        ([[[1, "2"]]], None),
        ([[[True, 2]]], None),
        ([[[None, 2]]], None),
        ([[[math.nan, 2]]], None),
        ([[[math.inf, 2]]], None),
        ([[[10**400, 2]]], None),
        ([[{"x": 1, "y": 2}]], None),
        ("text", None),
        ({"a": 1}, None),
    ],
)
def test_boxes_of_another_shape_are_null(boxes, expected):
    (row,) = rows({"f": {"value": "v", "bboxes": boxes, "bboxes_norm": boxes}})
    assert (row.bboxes, row.bboxes_norm) == (expected, expected)
    assert expected is None or all(isinstance(number, float) for box in row.bboxes for point in box for number in point)


def test_the_deepest_answer_that_is_read():
    levels = MAX_DEPTH - 2  # the object and the list of pages are two
    body = b'{"data":[' + b'{"a":' * levels + b"7" + b"}" * levels + b"]}"
    (row,) = flatten(parse_answer(200, body))
    assert (row.field_name, row.value) == (".".join("a" * levels), "7")


def test_confidences_of_no_row_and_of_some():
    assert span([]) is None
    assert span([None]) is None
    assert span([0.25, None, 0.75]) == (0.25, 0.5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["value", "confidence", "bboxes"]) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=8,
)
NAMES = st.text(max_size=3)
# What a field's value may be without being a field, or having one inside.
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=4),
    max_leaves=8,
)
BOXES = st.none() | st.lists(
    st.lists(st.lists(st.floats() | st.integers() | st.none(), max_size=3), max_size=2), max_size=2
)
CONFIDENCES = st.floats() | st.floats(0, 1) | st.sampled_from(["0.5", "1e9", "x", None, True, 10**400])
FIELD_OBJECTS = st.fixed_dictionaries({"value": PLAIN}, optional={"confidence": CONFIDENCES, "bboxes": BOXES})
PAGES = st.lists(st.dictionaries(NAMES, FIELD_OBJECTS | JSON, max_size=3), max_size=3)


@given(PAGES, st.none() | st.floats(0, 1))
def test_any_pages_give_sound_rows(pages, limit):
    found = rows(*pages)
    numbers = [row.page_number for row in found]
    assert numbers == sorted(numbers)
    assert set(numbers) == {number for number, page in enumerate(pages, start=1) if page}
    for row in found:
        assert isinstance(row.field_name, str)
        assert row.value is None or isinstance(row.value, str)
        assert row.confidence is None or (0 <= row.confidence <= 1 and isinstance(row.confidence, float))
        assert needs_review(row.confidence, limit) == (
            limit is not None and (row.confidence is None or row.confidence < limit)
        )
    assert found == rows(*pages)
    measured = span(row.confidence for row in found)
    if measured is not None:
        assert 0 <= measured[0] <= measured[1] + 1e-12
        assert measured[1] <= 1


@given(st.lists(st.dictionaries(NAMES, FIELD_OBJECTS, max_size=3), max_size=3))
def test_a_field_object_is_one_row_with_its_name_and_value(pages):
    expected = [
        (number, name, field["value"]) for number, page in enumerate(pages, start=1) for name, field in page.items()
    ]
    found = values(*pages)
    assert len(found) == len(expected)
    for (number, name, text), (page_number, field_name, value) in zip(found, expected, strict=True):
        assert (number, name) == (page_number, field_name)
        if value is None or isinstance(value, str):
            assert text == value
        elif isinstance(value, float):
            assert text == repr(value)
        else:
            assert repr(json.loads(text, parse_constant=float)) == repr(value)


LEAF = "leaf"
KEYS = st.sampled_from(["value", "confidence", "bboxes", "note", "a", "b", "a.b", "a[0]", "", ".", '"', '["a.b"]'])
TREES = st.recursive(
    st.just(LEAF),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(KEYS, inner, min_size=1, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(KEYS, TREES, max_size=4), max_size=2))
def test_every_leaf_of_any_pages_is_in_exactly_one_row_and_every_name_is_its_own(pages):
    count = itertools.count()

    def numbered(value):
        if isinstance(value, dict):
            return {name: numbered(item) for name, item in value.items()}
        return [numbered(item) for item in value] if isinstance(value, list) else f"<{next(count)}>"

    found = rows(*(numbered(page) for page in pages))
    named = [(row.page_number, row.field_name) for row in found]
    assert len(named) == len(set(named))
    text = " ".join(f"{row.value} {row.extra}" for row in found)
    assert sorted(re.findall("<[0-9]+>", text)) == sorted(f"<{number}>" for number in range(next(count)))
