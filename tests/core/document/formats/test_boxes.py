# SPDX-License-Identifier: Apache-2.0
"""HEIC, AVIF and JPEG 2000 by hand: this project's own tools write only AVIF and the simplest JPEG 2000."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from PIL import Image

from airflow_provider_aigen.core.document.image_headers import Header, read_header
from tests.core.document.drawn import written


def box(kind: bytes, *contents: bytes, wide: bool = False) -> bytes:
    body = b"".join(contents)
    if wide:
        return struct.pack(">I4sQ", 1, kind, len(body) + 16) + body
    return struct.pack(">I4s", len(body) + 8, kind) + body


def full(kind: bytes, *contents: bytes, version: int = 0, flags: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags), *contents)


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    return box(b"ftyp", major, bytes(4), *compatible)


# --- which of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (ftyp(b"heic", b"mif1"), "image/heic"),
        (ftyp(b"mif1", b"heic"), "image/heic"),
        (ftyp(b"msf1", b"hevc"), "image/heic"),
        (ftyp(b"mif2", b"heic"), "image/heic"),
        (ftyp(b"mif1", b"miaf", b"avif"), "image/avif"),
        (ftyp(b"avif", b"mif1"), "image/avif"),
        (ftyp(b"avis"), "image/avif"),
        (ftyp(b"isom", b"avif"), "image/avif"),
        (ftyp(b"mp41", b"mif1"), "image/heic"),
        (ftyp(b"heic") + b"avif", "image/heic"),  # behind the box
        (ftyp(b"heic", b"miav", b"ifxx"), "image/heic"),
        (ftyp(b"heic", *[b"mif1"] * 59, b"avif"), "image/avif"),
        (ftyp(b"heic", *[b"mif1"] * 60, b"avif"), "image/heic"),  # beyond what is read of a box
    ],
)
def test_the_brands_tell_heic_from_avif(data, media_type):
    assert read_header(data + bytes(64)) == Header(media_type)


@pytest.mark.parametrize(
    "data", [ftyp(b"isom", b"iso2", b"avc1"), ftyp(b"mp42"), ftyp(b"qt  "), ftyp(b"M4A "), ftyp(b"jp2 ")]
)
def test_films_and_sound_are_neither(data):
    assert read_header(data + bytes(64)) is None


# --- HEIC and AVIF ------------------------------------------------------------------------------------------------


def ispe(width: int, height: int) -> bytes:
    return full(b"ispe", struct.pack(">II", width, height))


def heif(
    properties: list[bytes],
    associations: dict[int, list[int]],
    *,
    primary: int = 1,
    wide_items: bool = False,
    wide_indexes: bool = False,
    before: bytes = b"",
    wide_boxes: bool = False,
) -> bytes:
    entries = b"".join(
        struct.pack(">IB" if wide_items else ">HB", item, len(indexes))
        + b"".join(struct.pack(">H" if wide_indexes else ">B", index) for index in indexes)
        for item, indexes in associations.items()
    )
    ipma = full(b"ipma", struct.pack(">I", len(associations)), entries, version=wide_items, flags=wide_indexes)
    pitm = full(b"pitm", struct.pack(">I" if wide_items else ">H", primary), version=wide_items)
    iprp = box(b"iprp", box(b"ipco", *properties), ipma)
    meta = full(b"meta", full(b"hdlr", bytes(20)), pitm, iprp)
    if wide_boxes:
        meta = struct.pack(">I4sQ", 1, b"meta", len(meta) + 8) + meta[8:]
    return ftyp(b"heic", b"mif1") + before + meta + box(b"mdat", bytes(100))


def size(data: bytes) -> tuple[int, int] | None:
    header = read_header(data)
    assert header is not None
    assert header.media_type == "image/heic"
    return header.size


THUMBNAIL, IMAGE = ispe(160, 120), ispe(4032, 3024)
CONFIG, LEFT, HALF, UPSIDE_DOWN = box(b"hvcC", bytes(30)), *(box(b"irot", bytes([turn])) for turn in (1, 3, 2))
CROP = full(b"clap", bytes(28))


@pytest.mark.parametrize("wide_items", [False, True])
@pytest.mark.parametrize("wide_indexes", [False, True])
@pytest.mark.parametrize("wide_boxes", [False, True])
def test_the_size_of_the_primary_item(wide_items, wide_indexes, wide_boxes):
    essential = 0x8000 if wide_indexes else 0x80
    options = {"wide_items": wide_items, "wide_indexes": wide_indexes, "wide_boxes": wide_boxes}
    properties = [CONFIG, THUMBNAIL, IMAGE, LEFT, UPSIDE_DOWN]
    items = {1: [1, 2], 7: [1 | essential, 3], 8: [3, 4 | essential], 9: [3, 5]}
    assert size(heif(properties, items, primary=1, **options)) == (160, 120)
    assert size(heif(properties, items, primary=7, **options)) == (4032, 3024)
    assert size(heif(properties, items, primary=8, **options)) == (3024, 4032)
    assert size(heif(properties, items, primary=9, **options)) == (4032, 3024)
    assert size(heif(properties, items, primary=10, **options)) is None


def test_a_box_before_and_a_box_without_a_length():
    assert size(heif([IMAGE], {1: [1]}, before=box(b"free", bytes(999)) + box(b"mdat", wide=True))) == (4032, 3024)
    assert size(heif([IMAGE], {1: [1]}, before=struct.pack(">I4s", 0, b"mdat"))) is None


def test_a_property_that_turns_the_other_way():
    assert size(heif([IMAGE, HALF], {1: [1, 2]})) == (3024, 4032)


def test_a_cropped_image_tells_no_size_and_is_sent():
    """Not every reader crops it."""
    assert size(heif([IMAGE, CROP], {1: [1, 2]})) is None
    assert size(heif([IMAGE, CROP], {1: [1]})) == (4032, 3024)


@pytest.mark.parametrize("indexes", [[], [0], [9], [2], [127]])
def test_an_item_without_an_extent(indexes):
    assert size(heif([IMAGE, CONFIG], {1: indexes})) is None


@pytest.mark.parametrize("length", range(20, 300, 7))
def test_a_heic_that_is_cut_off_tells_its_size_or_none(length):
    whole = heif([CONFIG, THUMBNAIL, IMAGE], {1: [1, 2], 2: [3]}, primary=2)
    assert size(whole[:length]) in (None, (4032, 3024))


def test_boxes_that_say_nonsense_of_their_length():
    for length in (2, 7, 8, 9, 2**31, 2**32 - 1):
        data = ftyp(b"heic") + struct.pack(">I4s", length, b"meta") + bytes(200)
        assert size(data) is None
    assert size(ftyp(b"heic") + struct.pack(">I4sQ", 1, b"meta", 2**64 - 1) + bytes(200)) is None
    assert size(ftyp(b"heic") + struct.pack(">I4sQ", 1, b"meta", 3) + bytes(200)) is None


def test_an_avif_that_pillow_turns():
    file = BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.new("RGB", (640, 480)).save(file, "AVIF", exif=exif, speed=10)
    assert read_header(file.getvalue()) == Header("image/avif", (480, 640))


# --- JPEG 2000 ----------------------------------------------------------------------------------------------------

SIGNATURE = b"\0\0\0\x0cjP  \r\n\x87\n"


def codestream(right: int, bottom: int, left: int = 0, top: int = 0) -> bytes:
    return b"\xff\x4f\xff\x51\0\x29\0\0" + struct.pack(">IIII", right, bottom, left, top) + bytes(30)


def ihdr(width: int, height: int) -> bytes:
    return box(b"ihdr", struct.pack(">IIHBBBB", height, width, 3, 7, 7, 0, 0))


@pytest.mark.parametrize("brand", [b"jp2 ", b"jpx ", b"jph ", b"jpm ", b"xxxx"])
@pytest.mark.parametrize("wide", [False, True])
def test_the_size_is_in_the_image_header_whatever_the_brand(brand, wide):
    data = SIGNATURE + ftyp(brand, b"jp2 ") + box(b"jp2h", ihdr(640, 480), box(b"colr", bytes(7)), wide=wide)
    assert read_header(data + box(b"jp2c", codestream(1, 1))) == Header("image/jp2", (640, 480))


def test_or_in_the_codestream():
    start = SIGNATURE + ftyp(b"jpx ", b"jpx ")
    codes = box(b"jp2c", codestream(740, 580, 100, 100))
    assert read_header(start + box(b"rreq", bytes(9)) + codes) == Header("image/jp2", (640, 480))
    assert read_header(start + box(b"jp2h", box(b"colr", bytes(7))) + codes) == Header("image/jp2", (640, 480))
    assert read_header(start + struct.pack(">I4s", 0, b"jp2c") + codestream(640, 480)) == Header(
        "image/jp2", (640, 480)
    )


@pytest.mark.parametrize(
    "rest",
    [b"", ftyp(b"jp2 "), ftyp(b"jpm ") + box(b"mhdr", bytes(4)), ftyp(b"jp2 ") + box(b"jp2h", box(b"ihdr", bytes(4)))],
)
def test_a_jp2_that_tells_no_size_is_sent(rest):
    assert read_header(SIGNATURE + rest) == Header("image/jp2")


@pytest.mark.parametrize("brand", [b"mjp2", b"mj2s"])
def test_a_film_of_such_images_is_no_image(brand):
    assert read_header(SIGNATURE + ftyp(brand, b"mjp2") + bytes(50)) is None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (codestream(640, 480), (640, 480)),
        (codestream(641, 482, 1, 2), (640, 480)),
        (codestream(2**32 - 1, 480), (2**32 - 1, 480)),
        (codestream(10, 480, 10), None),
        (codestream(10, 480, 11), None),
        (codestream(640, 480)[:23], None),
    ],
)
def test_a_bare_codestream(data, expected):
    assert read_header(data) == Header("image/j2c", expected)


def test_what_pillow_writes_when_it_is_cut_off():
    whole = written((640, 480), "JPEG2000", "RGB")
    for length in range(12, 120, 5):
        assert read_header(whole[:length]) in (Header("image/jp2"), Header("image/jp2", (640, 480)))
