# SPDX-License-Identifier: Apache-2.0
"""Files that Pillow writes, and headers by hand where it can't."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_aigen.core.document.image_headers import Header, read_header
from tests.core.document.drawn import written

SIZES = [(1, 1), (640, 480), (479, 641), (70, 5001)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("media_type", "kind", "mode", "options"),
    [
        ("image/jpeg", "JPEG", "L", {}),
        ("image/jpeg", "JPEG", "RGB", {"progressive": True, "exif": b"Exif\0\0" + bytes(4000)}),
        ("image/jpeg", "JPEG", "CMYK", {"comment": b"\xff\xc0" * 50}),
        ("image/png", "PNG", "L", {}),
        ("image/png", "PNG", "RGBA", {}),
        ("image/webp", "WEBP", "RGB", {"lossless": False, "method": 0}),
        ("image/webp", "WEBP", "RGB", {"lossless": True, "method": 0, "quality": 0}),
        ("image/webp", "WEBP", "RGB", {"exif": b"Exif\0\0II", "method": 0}),
        ("image/tiff", "TIFF", "L", {}),
        ("image/tiff", "TIFF", "1", {"compression": "group4"}),
        ("image/tiff", "TIFF", "L", {"big_tiff": True}),
        ("image/tiff", "TIFF", "I;16B", {}),
        ("image/bmp", "BMP", "L", {}),
        ("image/bmp", "BMP", "RGB", {}),
        ("image/gif", "GIF", "L", {}),
        ("image/gif", "GIF", "P", {"comment": b"x" * 700, "transparency": 1}),
        ("image/jp2", "JPEG2000", "RGB", {}),
        ("image/j2c", "JPEG2000", "L", {"no_jp2": True}),
        ("image/bmp", "DIB", "RGB", {}),
        ("image/x-portable-anymap", "PPM", "1", {}),
        ("image/x-portable-anymap", "PPM", "L", {}),
        ("image/x-portable-anymap", "PPM", "RGB", {}),
        ("image/x-portable-anymap", "PPM", "F", {}),
        ("image/avif", "AVIF", "RGB", {"speed": 10}),
    ],
)
def test_what_pillow_writes_has_the_size_that_it_was_given(size, media_type, kind, mode, options):
    assert read_header(written(size, kind, mode, **options)) == Header(media_type, size)


# --- PDF ----------------------------------------------------------------------------------------------------------

PDF = b"%PDF-1.7\n1 0 obj"
MULTIPART = (
    b"------WebKitFormBoundary7MA4YWxk\r\n"
    b'Content-Disposition: form-data; name="file"; filename="scan.pdf"\r\n'
    b"Content-Type: application/pdf\r\n\r\n"
)


@pytest.mark.parametrize(
    "before",
    [
        b"",
        b"\xef\xbb\xbf\r\n",
        MULTIPART,
        b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\n\r\n",
        b"/home/scanner/2026/scan.pdf\n",
        b"C:\\scans\\scan.pdf\r\n",
        b"%!PS-Adobe-3.0\n",
        b"\0" * 128,
        b"x" * 1024,
    ],
)
def test_the_header_of_a_pdf_may_stand_behind_something_else(before):
    assert read_header(before[:1023] + PDF) == Header("application/pdf")


def test_behind_1024_bytes_nobody_looks_for_it():
    assert read_header(b"x" * 1023 + PDF) == Header("application/pdf")
    assert read_header(b"x" * 1024 + PDF) is None
    assert read_header(b"x" * 1023 + b"%PDF") is None


@pytest.mark.parametrize(
    "before",
    [b"GIF89a/2026/scan.pdf\n", b"GIF87a", b"BM" + bytes(12) + b"\x28\0\0\0 ", b"P5\n16 16\n", b"P4 640 480 "],
)
def test_a_text_before_it_that_begins_like_an_image_makes_no_image_of_it(before):
    assert read_header(before + PDF) == Header("application/pdf")


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("TIFF", "image/tiff"), ("WEBP", "image/webp")],
)
def test_what_may_be_either_is_not_judged_by_its_size(kind, media_type):
    image = written((5, 5), kind, "RGB")
    assert read_header(image[:1000] + PDF) == Header(media_type)
    assert read_header(image.ljust(1024, b"\0") + PDF) == Header(media_type, (5, 5))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xd8",
        b"\xff\x4f\xff",
        b"GIF88a" + bytes(20),
        b"PK\x03\x04",
        b"\x1f\x8b\x08" + bytes(20),
        b"<svg xmlns=",
        b"%PDF",
        b"a letter about PDF-1.7",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x0cjP  \r\n\x87",
        b"\x00",
        b"\x89PNG\n",
        b"\x28\0\0\0",
    ],
)
def test_anything_else_is_unknown(data):
    assert read_header(data) is None


# --- whatever the bytes -------------------------------------------------------------------------------------------

MAGICS = [
    b"",
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"II+\0\x08\0\0\0",
    b"MM\0+\0\x08\0\0",
    b"BM" + bytes(12) + b"\x0c\0\0\0",
    b"BM" + bytes(12) + b"\x28\0\0\0",
    b"GIF89a",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"RIFF\0\0\0\0WEBPVP8L",
    b"RIFF\0\0\0\0WEBPVP8X",
    b"%PDF-",
    b"P5\n",
    b"P7\nWIDTH 1\nHEIGHT ",
    b"\xff\x4f\xff\x51",
    b"\x28\0\0\0\1\0\0\0\1\0\0\0\1\0\x18\0",
    b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypjp2 \0\0\0\0jp2 ",
    b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x2djp2h\0\0\0\x16ihdr",
    b"\0\0\0\x14ftypheic\0\0\0\0mif1",
    b"\0\0\0\x14ftypheic\0\0\0\0mif1\0\0\0\xa0meta\0\0\0\0\0\0\0\x0epitm\0\0\0\0\0\1\0\0\0\x88iprp",
]


@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_no_bytes_raise_and_a_size_is_never_zero(magic, rest):
    header = read_header(magic + rest)
    assert header is None or header.size is None or min(header.size) > 0


KINDS = ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000", "AVIF", "PPM"]
FILES = {kind: written((60, 70), kind, "RGB") for kind in KINDS}


@given(st.data())
def test_real_files_with_flipped_bytes_do_not_raise(data):
    kind = data.draw(st.sampled_from(KINDS))
    file = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, min(len(file), 400) - 1))] = data.draw(st.integers(0, 255))
    read_header(bytes(file[: data.draw(st.integers(0, len(file)))]))


MEGABYTES = 10_000_000


@pytest.mark.parametrize(
    "unit",
    [
        b"\xff",
        b"\xff\x00",
        b"\xff\xe0\x00\x02",
        b"\n",
        b"#",
        b"#\n",
        b"0 ",
        b"!\xfe\1x\0",
        b"\0\0\0\x08free",
        b"\0\0\0\x08ipco",
        b"\0\1\0\0",
        b"\4\x4a\0\4\0\0\0\1\0\0\0\x08",
        b"WIDTH 1\n",
    ],
)
@pytest.mark.parametrize("magic", MAGICS)
def test_ten_megabytes_of_nonsense_take_no_time(magic, unit):
    data = (magic + unit * (MEGABYTES // len(unit)))[:MEGABYTES]
    begun = time.process_time()
    read_header(data)
    assert time.process_time() - begun < 1.0
