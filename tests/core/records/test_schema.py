# SPDX-License-Identifier: Apache-2.0
"""Which schema a run has, and what is refused."""

from __future__ import annotations

import pytest

from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.records.schema import (
    built_in_schema,
    check_record_schema,
    record_columns,
    record_schema,
)

BOOK = "vehicle-registration-book/v2"


def test_the_books_schema_is_built_in_and_others_are_given():
    built_in = record_schema(BOOK, None, "dt=2026-11-22")
    assert len(built_in) == 26
    check_record_schema(dict(built_in), "dt=2026-11-22")
    assert record_schema("idcard/v2", None, "dt=2026-11-22") == record_schema(BOOK, {}, "") == ()
    assert record_schema(BOOK, {"color": "text"}, "") == (("color", "text"),)


@pytest.mark.parametrize("partition", ["province=north", "dt=1/Province_Code=TH-10"])
def test_a_partition_that_worked_before_there_were_records_still_does(partition):
    """Its key is the column: an engine would read the path's value there."""
    schema = built_in_schema(BOOK, partition)
    assert "province" not in dict(schema)
    assert len(schema) == 25


def test_a_province_has_two_columns_and_a_nested_field_a_plain_name():
    columns = record_columns((("owner.born[1].in", "province"), ("items[1]", "decimal")))
    assert [(column.name, column.field) for column in columns] == [
        ("owner_born_1_in", "owner.born[1].in"),
        ("owner_born_1_in_code", "owner.born[1].in"),
        ("items_1", "items[1]"),
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"total": "money"}, "no known type for the field 'total': use one of text, date, year, integer, decimal"),
        ({"a.b": "text", "A_B": "date"}, "the column A_B twice, for the fields 'a.b' and 'A_B'"),
        ({"commit": "integer"}, "'commit', and commit is a column of records already"),
        ({"day": "date"}, "'day', and day is a key of the partition: choose another key"),
        ({"ชื่อ": "text"}, "whose name cannot be a column's"),
        ("total", "must be a dict of field names and types"),
    ],
)
def test_each_mistake_has_its_sentence(given, sentence):
    with pytest.raises(ConfigurationError, match=sentence.replace("[", "\\[")):
        check_record_schema(given, "day=1")


def test_a_type_of_a_newer_version_is_said():
    with pytest.raises(ConfigurationError, match="upgrade it here"):
        record_columns((("total", "money"),))
