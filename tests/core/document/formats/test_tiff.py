# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
from io import BytesIO

import pytest
from PIL import Image

from airflow_provider_aigen.core.document.image_headers import Header, read_header


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


def pages(*sizes: tuple[int, int], **options) -> bytes:
    first, *others = (Image.new("L", size) for size in sizes)
    file = BytesIO()
    first.save(file, "TIFF", save_all=True, append_images=others, **options)
    return file.getvalue()


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    ("sizes", "size"),
    [
        ([(600, 700), (5, 5)], (600, 700)),
        ([(5, 5), (600, 700)], (600, 700)),
        ([(160, 120), (2480, 3508), (80, 60), (1654, 2339)], (2480, 3508)),
        ([(20_000, 10), (600, 700)], (600, 700)),
        ([(30, 40)] * 50, (30, 40)),
    ],
)
def test_the_page_with_the_most_pixels_counts_wherever_it_stands(sizes, size, big):
    assert read_header(pages(*sizes, big_tiff=big)) == Header("image/tiff", size)


def linked(*directories: list[tuple[int, int, int]], following: dict[int, int] | None = None) -> bytes:
    """Directories one behind the other, each with the offset of the next one or of that in ``following``."""
    data, starts = b"II*\0\x08\0\0\0", []
    for entries in directories:
        starts.append(len(data))
        data += tiff("<", entries)[8:] + bytes(4)
    for number, at in enumerate(starts):
        target = (following or {}).get(number, number + 1)
        end = at + 2 + 12 * len(directories[number])
        offset = starts[target] if target < len(starts) else 0
        data = data[:end] + struct.pack("<I", offset) + data[end + 4 :]
    return data


SMALL = [(256, 3, 160), (257, 3, 120)]
LARGE = [(256, 3, 800), (257, 3, 900)]


def test_thumbnails_are_no_pages():
    assert read_header(linked([(254, 4, 1), *LARGE], SMALL)) == Header("image/tiff", (160, 120))
    assert read_header(linked([(255, 3, 2), *LARGE], SMALL)) == Header("image/tiff", (160, 120))
    assert read_header(linked([(254, 4, 1), *LARGE], [(254, 4, 1), *SMALL])) == Header("image/tiff")
    assert read_header(linked([(254, 4, 2), *SMALL])) == Header("image/tiff", (160, 120))  # a page of several


def test_directories_inside_a_page_are_looked_at_too():
    """A camera's raw file has a thumbnail, and the image under it."""
    behind = len(linked([(254, 4, 1), *SMALL, (330, 4, 0)]))
    data = linked([(254, 4, 1), *SMALL, (330, 4, behind)]) + tiff("<", LARGE)[8:]
    assert read_header(data) == Header("image/tiff", (800, 900))
    offsets = struct.pack("<II", behind + 8, behind + 8 + 2 + 12 * 2 + 4)
    inner = struct.pack("<HHII", 330, 13, 2, behind)
    start = linked([(254, 4, 1), *SMALL, (330, 4, 0)])
    data = start[: -12 - 4] + inner + bytes(4) + offsets + linked(SMALL, LARGE)[8:]
    assert read_header(data) == Header("image/tiff", (800, 900))


@pytest.mark.parametrize("target", [0, 1])
def test_a_row_of_directories_that_bites_its_tail_ends(target):
    assert read_header(linked(SMALL, LARGE, following={1: target})) == Header("image/tiff", (800, 900))


def test_an_offset_that_leads_out_of_the_file_ends_the_row():
    data = linked(LARGE)
    assert read_header(data[:-4] + b"\xff" * 4) == Header("image/tiff", (800, 900))


def test_more_directories_or_entries_than_are_looked_at_tell_no_size():
    assert read_header(linked(*[SMALL] * 1999)) == Header("image/tiff", (160, 120))
    assert read_header(linked(*[SMALL] * 2001)) == Header("image/tiff")
    assert read_header(linked(LARGE + [(258, 3, 8)] * 39_998)) == Header("image/tiff", (800, 900))
    assert read_header(linked(LARGE + [(258, 3, 8)] * 39_999)) == Header("image/tiff")


@pytest.mark.parametrize("start", [b"II\0*", b"MM*\0"])
def test_the_number_in_the_wrong_order_is_overlooked(start):
    data = tiff("<" if start[:1] == b"I" else ">", LARGE)
    assert read_header(start + data[4:]) == Header("image/tiff", (800, 900))


@pytest.mark.parametrize("kind", [2, 12, 0, 65_535])
def test_a_side_of_another_type_or_without_a_number_tells_no_size(kind):
    assert read_header(tiff("<", [(256, 3, 800), (257, kind, 1)])) == Header("image/tiff")


def test_a_side_with_many_numbers_is_the_first_of_them():
    elsewhere = len(linked(LARGE))
    entry = struct.pack("<HHII", 257, 4, 2, elsewhere)
    data = linked([LARGE[0], LARGE[1]])[: 8 + 2 + 12] + entry + bytes(4) + struct.pack("<II", 900, 7)
    assert read_header(data) == Header("image/tiff", (800, 900))
    assert read_header(data[:-1]) == Header("image/tiff")
