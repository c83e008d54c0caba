# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

import pytest

from airflow_provider_aigen.core.document.image_headers import Header, read_header


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def frame(marker: int, width: int, height: int) -> bytes:
    return segment(marker, struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0")


JPEG = b"\xff\xd8"
FRAME = frame(0xC0, 1200, 800)
FOUND = Header("image/jpeg", (1200, 800))
UNKNOWN = Header("image/jpeg")


def test_180_kb_of_colour_profile_before_the_frame():
    profile = segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000))
    assert read_header(JPEG + profile * 3 + FRAME) == FOUND


def test_a_frame_inside_another_segment_is_none():
    assert read_header(JPEG + segment(0xE1, frame(0xC0, 1, 1) * 20) + FRAME) == FOUND
    assert read_header(JPEG + segment(0xE1, frame(0xC0, 1, 1) * 3000) + FRAME) == FOUND  # over 32 kB


def test_the_largest_sides_of_a_frame():
    assert read_header(JPEG + frame(0xC0, 65_535, 65_534)) == Header("image/jpeg", (65_535, 65_534))


def test_fill_bytes_restart_markers_and_garbage_between_segments():
    app = segment(0xE0, b"JFIF\0")
    assert read_header(JPEG + b"\xff" * 999 + app[1:] + FRAME) == FOUND
    assert read_header(JPEG + b"\xff\xd0\xff\x01" + FRAME) == FOUND
    assert read_header(JPEG + segment(0xE0, b"") + FRAME) == FOUND
    assert read_header(JPEG + app + b"\0\x12\xff\0garbage" + FRAME) == FOUND


@pytest.mark.parametrize("marker", range(0xC0, 0xD0))
def test_all_frames_but_the_tables_among_them(marker):
    tables = (0xC4, 0xC8, 0xCC)
    expected = FOUND if marker in tables else Header("image/jpeg", (7, 9))
    assert read_header(JPEG + frame(marker, 7, 9) + FRAME) == expected


@pytest.mark.parametrize(
    "rest",
    [
        b"\xff",
        b"\xff\xe0",
        b"\xff\xe0\x00",
        b"\xff\xc0\x00\x11\x08\x03",
        segment(0xDA, b"\0") + FRAME,
        b"\xff\xd9" + FRAME,
        segment(0xE0, b"x") * 20_000 + FRAME,
        b"\xff" * 1_000_000,
        b"\xff\x00" * 500_000,
        frame(0xC0, 1200, 0),
    ],
)
def test_without_a_frame_it_is_a_jpeg_of_unknown_size(rest):
    assert read_header(JPEG + (b"" if rest.startswith(b"\xff") else b"\xff") + rest) == UNKNOWN


def test_a_file_cut_before_its_frame():
    whole = JPEG + segment(0xE1, bytes(5000)) + FRAME
    assert all(read_header(whole[:length]) == UNKNOWN for length in range(3, len(whole) - 5, 61))
