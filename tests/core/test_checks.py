# SPDX-License-Identifier: Apache-2.0
"""What a setting may be, one by one; the refusal names the parameter."""

from __future__ import annotations

import math

import pytest

from airflow_provider_aigen.core.checks import (
    COLUMNS,
    check_document_type,
    check_partition,
    check_positive,
    check_ratio,
    partition_keys,
)
from airflow_provider_aigen.core.errors import ConfigurationError


def refusal(check, *arguments, **named) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        check(*arguments, **named)
    return caught.value


@pytest.mark.parametrize("value", [1, 0.001, 1e9])
def test_a_number_over_zero_is_positive(value):
    check_positive("size", value)


def test_a_whole_number_is_one():
    check_positive("size", 1, integer=True)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "1", None])
@pytest.mark.parametrize("integer", [False, True])
def test_what_is_no_number_over_zero_is_refused(value, integer):
    error = refusal(check_positive, "size", value, integer=integer)
    assert error.parameter == "size"
    assert str(error) == f"size: must be a {'whole number' if integer else 'number'} over 0"


def test_a_fraction_is_no_whole_number():
    assert refusal(check_positive, "size", 1.5, integer=True).parameter == "size"


@pytest.mark.parametrize("value", [None, 0, 1, 0.5, 1.0])
def test_none_and_zero_to_one_are_ratios(value):
    check_ratio("ratio", value)


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, True, False, "0.5"])
def test_what_is_no_ratio_is_refused(value):
    assert refusal(check_ratio, "ratio", value).parameter == "ratio"


@pytest.mark.parametrize("value", ["vehicle-registration-book/v2", "id_card/v1.1-beta", "a/1"])
def test_a_document_type_has_two_parts(value):
    check_document_type(value)


@pytest.mark.parametrize(
    "value", ["", "book", "book/", "/v2", "book/v2/", "a/b/c", "Book/v2", "../v2", "book/..", "-a/v1"]
)
def test_what_is_no_document_type_is_refused(value):
    assert refusal(check_document_type, value).parameter == "document_type"


@pytest.mark.parametrize("value", ["", "dt=2026-11-22", "dt=2026-11-22/hour=08", "_p=a:b+c%20@d"])
def test_a_partition_is_empty_or_names_and_values(value):
    check_partition(value)


@pytest.mark.parametrize("value", ["dt", "dt=", "/dt=1", "dt=1/", "dt=1//h=2", "dt=1 /h=2", "1dt=1", "dt=1/hour"])
def test_what_is_no_partition_is_refused(value):
    assert refusal(check_partition, value).parameter == "partition"


@pytest.mark.parametrize("column", sorted(COLUMNS))
def test_no_partition_key_is_a_column_whatever_its_case(column):
    for value in (f"{column}=new", f"dt=2026-11-22/{column.upper()}=new", f"{column.title()}=1/region=x"):
        error = refusal(check_partition, value)
        assert error.parameter == "partition"
        assert f"the key {column}, " in str(error)


@pytest.mark.parametrize("value", ["dt=1/dt=2", "dt=1/DT=2", "a=1/b=2/A=3"])
def test_no_partition_key_is_there_twice(value):
    assert "the same key twice" in str(refusal(check_partition, value))


def test_the_keys_of_a_partition():
    assert partition_keys("") == ()
    assert partition_keys("dt=2026-11-22") == ("dt",)
    assert partition_keys("region=a=b/dt=2026-11-22") == ("region", "dt")
