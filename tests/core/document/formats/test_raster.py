# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

import pytest

from airflow_provider_aigen.core.document.image_headers import Header, read_header
from tests.core.document.drawn import written


def bmp(header: bytes) -> bytes:
    return b"BM" + bytes(12) + struct.pack("<I", len(header) + 4) + header


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (struct.pack("<HHHH", 60_000, 700, 1, 24), (60_000, 700)),  # OS/2: unsigned, two bytes each
        (struct.pack("<ii28x", 640, -480), (640, 480)),
        (struct.pack("<ii4x", 640, 480), (640, 480)),
        (struct.pack("<ii112x", 640, 480), (640, 480)),
        (struct.pack("<ii32x", 640, -(2**31))[:36], (640, 2**31)),
        (struct.pack("<ii28x", -640, 480), None),
    ],
)
def test_bmp_headers(header, size):
    assert read_header(bmp(header)) == Header("image/bmp", size)


def test_a_text_that_begins_with_bm_is_no_bitmap():
    assert read_header(b"BMW 320d, registration number 2345, and more text") is None
    assert read_header(b"BM") is None


@pytest.mark.parametrize(
    "data",
    [
        b"RIFF\0\0\0\0WEBP",
        b"RIFF\0\0\0\0WEBPVP8X",
        b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x30" + bytes(20),
        b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0" + bytes(20),
        b"RIFF\0\0\0\0WEBPABCD" + bytes(7) + b"\x9d\x01\x2a\7\7\7\7",
        b"RIFF\0\0\0\0WEBPVP8 " + b"\7" * 20,
    ],
)
def test_a_webp_that_tells_no_size(data):
    assert read_header(data) == Header("image/webp")


def test_webp_with_the_largest_sides():
    extended = b"RIFF\0\0\0\0WEBPVP8X" + bytes(8) + b"\xff\xff\xff" + b"\x0f\x27\0"
    assert read_header(extended) == Header("image/webp", (2**24, 10_000))
    lossy = b"RIFF\0\0\0\0WEBPVP8 " + bytes(7) + b"\x9d\x01\x2a" + struct.pack("<HH", 0xC000 | 700, 0x4000 | 800)
    assert read_header(lossy) == Header("image/webp", (700, 800))


def test_a_png_whose_first_chunk_is_another_or_cut_off():
    assert read_header(b"\x89PNG\r\n\x1a\n\0\0\0\x04CgBI" + b"\1" * 30) == Header("image/png")
    assert read_header(written((640, 480), "PNG")[:20]) == Header("image/png")


def test_a_png_with_a_side_over_half_of_what_fits():
    header = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" + struct.pack(">II", 2**31, 2**32 - 1)
    assert read_header(header) == Header("image/png", (2**31, 2**32 - 1))


@pytest.mark.parametrize("length", [16, 20, 40, 46, 64])
def test_a_bitmap_of_os2_may_have_a_header_of_any_length(length):
    assert read_header(bmp(struct.pack("<ii56x", 640, 480)[: length - 4])) == Header("image/bmp", (640, 480))


def test_a_bitmap_without_the_files_header():
    bare = written((640, 480), "BMP", "RGB")[14:]
    assert read_header(bare) == Header("image/bmp", (640, 480))
    assert read_header(bare[:13] + b"\1" + bare[14:]) is None
    assert read_header(bare[:14] + b"\5" + bare[15:]) is None


# --- GIF ----------------------------------------------------------------------------------------------------------


def gif(screen: tuple[int, int], *blocks: bytes, table: int | None = None) -> bytes:
    flags = 0 if table is None else 0x80 | table
    colours = b"" if table is None else bytes(3 << table + 1)
    return b"GIF89a" + struct.pack("<HHB2x", *screen, flags) + colours + b"".join(blocks)


def extension(label: int, *data: bytes) -> bytes:
    return b"!" + bytes([label]) + b"".join(bytes([len(one)]) + one for one in data) + b"\0"


def frame(left: int, top: int, width: int, height: int) -> bytes:
    return struct.pack("<cHHHHx", b",", left, top, width, height)


@pytest.mark.parametrize("table", [None, 0, 7])
def test_a_frame_beyond_the_screen_makes_it_larger(table):
    comment, control = extension(0xFE, b"," * 255, b",,,"), extension(0xF9, bytes(4))
    one = frame(100, 200, 600, 700)
    for blocks in ([one], [control, one], [comment, control, one], [extension(0xFF, b"NETSCAPE2.0"), one]):
        assert read_header(gif((32, 32), *blocks, table=table)) == Header("image/gif", (700, 900))
        assert read_header(gif((800, 32), *blocks, table=table)) == Header("image/gif", (800, 900))
        assert read_header(gif((0, 0), *blocks, table=table)) == Header("image/gif", (700, 900))


def test_only_the_first_frame_does():
    assert read_header(gif((32, 32), frame(0, 0, 10, 10), frame(0, 0, 600, 700))) == Header("image/gif", (32, 32))


@pytest.mark.parametrize("rest", [b"", b"!", b"!\xfe", b"!\xfe\xff", b"!\xfe\0", b",\0\0\0\0", b";", b"\0" * 50])
def test_without_a_frame_the_screen_counts(rest):
    assert read_header(gif((640, 480), rest)) == Header("image/gif", (640, 480))
    assert read_header(gif((640, 480), extension(0xFE, *[b"x"] * 1000), frame(0, 0, 900, 900))).size == (640, 480)


# --- PNM and PAM --------------------------------------------------------------------------------------------------

PNM = "image/x-portable-anymap"


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (b"P4\n640 480\n", (640, 480)),
        (b"P1\n640\n480\n0 1 0", (640, 480)),
        (b"P5 640 480 255 ", (640, 480)),
        (b"P6\r\n# by a scanner\r\n640\t480\r\n255\r\n", (640, 480)),
        (b"P2# here too\n640 # and # here\n480\n255\n", (640, 480)),
        (b"P3\n" + b"#" * 100_000 + b"\n640 480 255", (640, 480)),
        (b"P5\n" + b"#\n" * 100_000 + b"640 480 255", (640, 480)),
        (b"Pf\n640 480\n-1.0\n", (640, 480)),
        (b"PF\n640 480\n1\n", (640, 480)),
        (b"P5\n0000640 0000000480 255\n", (640, 480)),
        (b"P5\n0 480 255\n", None),
        (b"P7\nWIDTH 640\nHEIGHT 480\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n", (640, 480)),
        (b"P7\n# HEIGHT 3\nHEIGHT 480\n\nMAXVAL 255\nWIDTH\t640\nDEPTH 1\nENDHDR\n", (640, 480)),
        (b"P7\nWIDTH 640\nENDHDR\nHEIGHT 480\n", None),
    ],
)
def test_pnm(data, size):
    assert read_header(data) == Header(PNM, size)


@pytest.mark.parametrize(
    "data",
    [
        b"P5",
        b"P5\n640",
        b"P5\n640 480",
        b"P5\n640 480a",
        b"P5640 480 255",
        b"P0\n640 480\n",
        b"P8\n640 480\n",
        b"P5 is a processor of 1993",
        b"P4 wide\n",
        b"P5\n#640 480 255",
        b"P5\n-640 480 255",
        b"P5\n12345678901 480 255",
        b"P7 332\n#XVVERSION",
        b"P7\nWIDTH 640\nHEIGHT 480\n",
        b"P7\n" + b"#\n" * 200 + b"ENDHDR\n",
    ],
)
def test_a_text_that_begins_like_one_is_none(data):
    assert read_header(data) is None
