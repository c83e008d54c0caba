# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_aigen.core.path_segments import path_segment


@pytest.mark.parametrize(
    ("code", "segment"),
    [
        ("1001", "1001"),
        ("can_not_find_vehicle_registration_on_image", "can_not_find_vehicle_registration_on_image"),
        ("A-z_9" + "x" * 59, "A-z_9" + "x" * 59),
        ("a/b", "a%2Fb"),
        ("..", "%2E%2E"),
        ("~", "%7E"),
        ("50%", "50%25"),
        ("dt=1", "dt%3D1"),
        ("ไม่", "%E0%B9%84%E0%B8%A1%E0%B9%88"),
    ],
)
def test_a_code_as_a_path_segment(code, segment):
    assert path_segment(code) == segment


@given(st.text(max_size=300))
@example("")
@example("\ud800")
@example("ก" * 100)
@example("x" * 95 + "/" * 40)
def test_a_path_segment_is_short_safe_and_tells_codes_apart(code):
    segment = path_segment(code)
    assert re.fullmatch(r"([A-Za-z0-9_-]|%[0-9A-F]{2}){1,128}", segment)
    if len(segment) < 100 and code:
        assert unquote_to_bytes(segment) == code.encode("utf-8", "surrogatepass")
    assert path_segment(code + "x" * 200) != path_segment(code + "y" * 200) != segment


def test_the_longest_code_that_is_not_cut():
    assert path_segment("\u00e9" * 21 + "aa") == "%C3%A9" * 21 + "aa"
    assert len(path_segment("\u00e9" * 21 + "aaa")) == 96 + 17


def test_a_long_code_is_cut_at_a_whole_escape_and_ends_with_16_digits_of_its_hash():
    assert re.fullmatch(r"(%C3%A9){16}-[0-9a-f]{16}", path_segment("\u00e9" * 30))
    assert re.fullmatch(r"a(%C3%A9){15}%C3-[0-9a-f]{16}", path_segment("a" + "\u00e9" * 30))
    assert re.fullmatch(r"a{96}-[0-9a-f]{16}", path_segment("a" * 129))
