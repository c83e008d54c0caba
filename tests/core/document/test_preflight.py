# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.document.preflight import MAX_BYTES, Accepted, Rejected, preflight

GIF = b"GIF89a"


def gif(width: int, height: int, padding: int = 0) -> bytes:
    return GIF + width.to_bytes(2, "little") + height.to_bytes(2, "little") + bytes(padding)


@pytest.mark.parametrize(
    ("width", "height", "code"),
    [
        (499, 500, "1001"),
        (500, 499, "1001"),
        (1, 1, "1001"),
        (10_001, 10_000, "1002"),
        (10_000, 10_001, "1002"),
        (65_535, 65_535, "1002"),
        (499, 10_001, "1001"),
        (10_001, 499, "1001"),
    ],
)
def test_a_side_outside_500_to_10000_is_rejected(width, height, code):
    assert preflight(gif(width, height)) == Rejected(code)


@pytest.mark.parametrize(("width", "height"), [(500, 500), (10_000, 10_000), (500, 10_000), (1654, 2339)])
def test_500_and_10000_themselves_are_sent(width, height):
    assert preflight(gif(width, height)) == Accepted("image/gif", width, height)


def test_ten_megabytes_are_sent_and_one_byte_more_is_not():
    whole = gif(1000, 1000, padding=MAX_BYTES - 10)
    assert preflight(whole) == Accepted("image/gif", 1000, 1000)
    assert preflight(whole + b"\0") == Rejected("20000")


def test_what_is_told_first_of_a_file_with_several_faults():
    assert preflight(gif(1, 20_000, padding=MAX_BYTES)) == Rejected("1001")
    assert preflight(b"PK\x03\x04" + bytes(MAX_BYTES)) == Rejected("unsupported_media_type")


def test_no_bytes():
    assert preflight(b"") == Rejected("empty_object")


@pytest.mark.parametrize(("width", "height"), [(0, 0), (0, 100), (700, 0)])
def test_a_side_of_zero_tells_nothing_and_is_sent(width, height):
    assert preflight(gif(width, height)) == Accepted("image/gif")


@given(st.integers(0, 65_535), st.integers(0, 65_535))
def test_only_sizes_that_the_contract_refuses_are_rejected(width, height):
    verdict = preflight(gif(width, height))
    sides = (width, height)
    if isinstance(verdict, Accepted):
        assert 0 in sides or all(500 <= side <= 10_000 for side in sides)
    else:
        assert any(side < 500 or side > 10_000 for side in sides)
