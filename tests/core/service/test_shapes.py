# SPDX-License-Identifier: Apache-2.0
"""Which answers are pages of fields, and which are not (case 13). The shapes are the vendor's, the values invented."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.models import ApiResponse
from airflow_provider_aigen.core.service.classify import classify
from airflow_provider_aigen.core.service.verdicts import Extracted, Failed, Refused, Unknown

FIELD = {"value": "v", "confidence": 0.9, "bboxes": [[[1, 2], [3, 2], [3, 4], [1, 4]]]}
PAIR = {"key": "total", "value": "100.00", "rect": [1, 2, 3, 4], "confidence": 0.99}
TEXT = {"bbox": [[0, 0], [5, 0], [5, 5], [0, 5]], "bbox_norm": [[0, 0]], "text": "t", "confidence": 0.99}
NOT_THERE = {"object": "error", "code": "no_id_card", "message": "no idcard on image"}


def verdict(document, status=200):
    return classify(ApiResponse(status, json.dumps(document).encode(), 0.1))


@pytest.mark.parametrize(
    ("document", "what"),
    [
        ({"status": "1", "message": "success", "data": [PAIR]}, "single fields"),
        ({"data": [PAIR, {**PAIR, "value": None, "rect": None}]}, "single fields"),
        ({"data": [{"key": "items", "value": [{"key": "a", "value": "1"}]}]}, "single fields"),
        ({"data": [{"plate": FIELD}, PAIR]}, "single fields"),
        ({"data": [FIELD]}, "single fields"),
        ({"data": [{"key": "total", "text": "100.00", "bboxes": [[1, 2, 3, 4]]}]}, "single fields"),
        (
            {"status": "200", "data": [{"bboxes": [TEXT], "text_page": "t", "page": 1, "max_page": 1}]},
            "single fields or lines",
        ),
        ({"data": [{"bboxes": [], "text_page": "", "page": 1}]}, "no field object"),
        ({"data": [{"name": "x"}]}, "no field object"),
        ({"data": [{"cells": [{"row": 0, "column": 0, "content": "x"}]}]}, "no field object"),
        ({"status": "200", "result": [{"key": "a", "text": "b"}], "error_list": []}, "in `result`"),
        ({"error_code": "200", "error_parameters": {}, "result": {"field": {"id": FIELD}}}, "in `result`"),
        ({"result": [{"cells": [{}]}]}, "in `result`"),
        ({"status": "success", "error": [], "data": [{}], "table": [{"a": 1}]}, "other members"),
        ({"status": "success", "data": None, "pages": [{"plate": FIELD}]}, "other members"),
        ({"status": "200", "result": [], "error_list": [{"code": "002"}]}, "other members"),
        ({"status": "success", "data": "text"}, "single value"),
        ({"error": [], "data": 7}, "single value"),
        ({"data": {"1": {"plate": FIELD}}}, "one object"),
        ({"data": [1, 2]}, "other than pages"),
        ({"data": [[{"plate": FIELD}]]}, "other than pages"),
        ({"data": [{"plate": FIELD}, "text"]}, "other than pages"),
    ],
)
def test_an_unknown_shape_says_what_stands_there(document, what):
    found = verdict(document)
    assert isinstance(found, Unknown)
    assert what in found.what
    assert what in str(found.error("idcard/v1"))
    assert "idcard/v1" in str(found.error("idcard/v1"))


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ([{"plate": FIELD}], ["plate"]),
        ([{"key": FIELD, "value": FIELD, "text": {}, "bboxes": {"a": FIELD}}], ["key", "value", "text", "bboxes.a"]),
        ([{"plate": FIELD, "confidence": 0.5, "text": "all"}], ["plate", "confidence", "text"]),
        ([{"a": None, "b": {}}], ["a", "b"]),
        ([{"status": 200, "account": {}, "name": FIELD}], ["status", "account", "name"]),
        (
            [{"type_doc": {**FIELD, "datetime_iso": "Invalid Datetime"}, "table_data": [[{"column": "no", **FIELD}]]}],
            ["type_doc", "table_data[0][0]"],
        ),
        ([{"plate": {"value": None}}, {}], ["plate"]),
    ],
)
def test_pages_of_fields_are_understood(data, names):
    found = verdict({"status": "success", "data": data})
    assert isinstance(found, Extracted)
    assert [row.field_name for row in found.rows] == names


def test_where_nothing_was_found_the_error_says_why():
    beside = {"processed": [{"x": 1}]}
    assert isinstance(verdict({"status": "error", "error": [NOT_THERE], "data": [{}], **beside}), Refused)
    assert isinstance(verdict({"status": "error", "error": NOT_THERE, "data": None, **beside}), Refused)
    assert isinstance(verdict({"status": "success", "error": [], "data": []}), Refused)


def test_what_is_not_the_vendors_may_pass():
    assert isinstance(verdict({"message": "maintenance", "data": "down"}), Failed)
    assert isinstance(verdict({"ok": True}), Failed)


@pytest.mark.parametrize("status", [400, 404, 413, 500])
def test_beside_an_error_status_the_shape_does_not_matter(status):
    assert not isinstance(verdict({"error": [NOT_THERE], "data": [PAIR], "result": [PAIR]}, status), Unknown)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["key", "value", "text", "bboxes", "confidence", "a"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["status", "error", "data", "result", "table"]), JSON, max_size=4))
def test_any_json_is_understood_or_not_and_never_an_error(document):
    found = verdict(document)
    assert isinstance(found, (Extracted, Refused, Unknown, Failed))
    if isinstance(found, Extracted):
        assert found.rows
