# SPDX-License-Identifier: Apache-2.0
"""Files that Pillow writes, and headers by hand where it can't."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from airflow_provider_aigen.core.document.image_headers import Header, read_header

SIZES = [(1, 1), (640, 480), (479, 641), (70, 5001)]


def written(size: tuple[int, int], kind: str, mode: str = "L", **options) -> bytes:
    file = BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


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
    ],
)
def test_what_pillow_writes_has_the_size_that_it_was_given(size, media_type, kind, mode, options):
    assert read_header(written(size, kind, mode, **options)) == Header(media_type, size)


def test_pages_after_the_first_are_not_looked_at():
    pages = [Image.new("L", (600, 700)), Image.new("L", (5, 5))]
    file = BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    assert read_header(file.getvalue()) == Header("image/tiff", (600, 700))


# --- JPEG ---------------------------------------------------------------------------------------------------------


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


# --- BMP, TIFF, WebP, PNG by hand ---------------------------------------------------------------------------------


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


def tiff(order: str, entries: list[tuple[int, int, int]], *, big: bool = False) -> bytes:
    start = b"II" if order == "<" else b"MM"
    formats = {1: "B", 3: "H", 4: "I", 16: "Q"}
    width = 8 if big else 4
    ifd = b"".join(
        struct.pack(f"{order}HH{'Q' if big else 'I'}", tag, kind, 1)
        + struct.pack(order + formats.get(kind, "B"), value).ljust(width, b"\0")
        for tag, kind, value in entries
    )
    if big:
        return start + struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, len(entries)) + ifd
    return start + struct.pack(f"{order}HIH", 42, 8, len(entries)) + ifd


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("kinds", [(3, 3), (4, 3), (4, 4), (1, 1)])
def test_tiff_in_both_orders(order, big, kinds):
    entries = [(254, 4, 0), (256, kinds[0], 200), (257, kinds[1], 100)]
    assert read_header(tiff(order, entries, big=big)) == Header("image/tiff", (200, 100))
    assert read_header(tiff(order, entries[::-1], big=big)) == Header("image/tiff", (200, 100))


def test_a_tiff_that_begins_with_a_thumbnail_tells_no_size():
    assert read_header(tiff("<", [(254, 4, 1), (256, 3, 160), (257, 3, 120)])) == Header("image/tiff")


@pytest.mark.parametrize(
    "data",
    [
        tiff("<", [(256, 3, 200)]),
        tiff("<", [(256, 3, 200)]) + tiff("<", [(257, 3, 100)])[10:],  # an entry behind the last
        tiff(">", [(256, 3, 200), (257, 2, 7)]),
        tiff("<", []),
        tiff("<", [(256, 3, 200), (257, 3, 100)])[:20],
        b"II*\0\xff\xff\xff\xff",
        b"MM\0+" + b"\xff" * 40,
        b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2**64 - 1) + bytes(100_000),
        b"II*\0",
    ],
)
def test_a_tiff_that_tells_no_size(data):
    assert read_header(data) == Header("image/tiff")


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


# --- without sizes ------------------------------------------------------------------------------------------------


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    brands = major + bytes(4) + b"".join(compatible)
    return struct.pack(">I", len(brands) + 8) + b"ftyp" + brands + bytes(64)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"%PDF-1.7\n", "application/pdf"),
        (b"\xef\xbb\xbf\r\n%PDF-2.0", "application/pdf"),
        (ftyp(b"heic", b"mif1"), "image/heic"),
        (ftyp(b"mif1", b"heic"), "image/heic"),
        (ftyp(b"mif1", b"miaf", b"avif"), "image/avif"),
        (ftyp(b"avif", b"mif1"), "image/avif"),
        (ftyp(b"avis"), "image/avif"),
        (ftyp(b"heic")[:16] + b"avif" + bytes(64), "image/heic"),  # behind the box
        (ftyp(b"heic", b"miav", b"ifxx"), "image/heic"),
        (ftyp(b"heic", *[b"mif1"] * 59, b"avif"), "image/avif"),
        (ftyp(b"heic", *[b"mif1"] * 60, b"avif"), "image/heic"),  # beyond what is read of a box
    ],
)
def test_formats_that_are_sent_without_a_size(data, media_type):
    assert read_header(data) == Header(media_type)


def test_avif_that_pillow_writes():
    assert read_header(written((640, 480), "AVIF", "RGB", speed=10)) == Header("image/avif")


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8",
        b"GIF88a" + bytes(20),
        b"PK\x03\x04",
        b"<svg xmlns=",
        b"a letter about %PDF-1.7",
        b" " * 1100 + b"%PDF-1.7",
        ftyp(b"isom", b"avif"),
        ftyp(b"mp42"),
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\x00",
        b"\x89PNG\n",
    ],
)
def test_anything_else_is_unknown(data):
    assert read_header(data) is None


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
    b"\0\0\0\x40ftypmif1",
]


@given(st.sampled_from(MAGICS), st.binary(max_size=300))
def test_no_bytes_raise_and_a_size_is_never_zero(magic, rest):
    header = read_header(magic + rest)
    assert header is None or header.size is None or min(header.size) > 0


@given(st.data())
def test_real_files_with_flipped_bytes_do_not_raise(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"]))
    file = bytearray(written((600, 700), kind, "L" if kind != "WEBP" else "RGB"))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, min(len(file), 200) - 1))] = data.draw(st.integers(0, 255))
    read_header(bytes(file[: data.draw(st.integers(0, len(file)))]))
