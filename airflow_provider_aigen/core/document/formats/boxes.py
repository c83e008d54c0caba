# SPDX-License-Identifier: Apache-2.0
"""Files that are made of boxes: HEIC, AVIF, JPEG 2000; and the bare codestream of JPEG 2000."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from airflow_provider_aigen.core.document.formats import Size

__all__ = ["brands", "codestream_size", "heif_size", "jp2_size"]

_MAX_BOXES = 10_000
_MAX_FTYP = 256


def brands(data: bytes, at: int = 0) -> list[bytes]:
    """The brands of the ``ftyp`` box at ``at``, its own first; empty where there is none."""
    if data[at + 4 : at + 8] != b"ftyp":
        return []
    end = at + min(int.from_bytes(data[at : at + 4], "big"), _MAX_FTYP)
    return [data[at + 8 : at + 12], *(data[start : start + 4] for start in range(at + 16, end, 4))]


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the contents of each box between ``at`` and ``end``."""
    for _ in range(_MAX_BOXES):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if size == 1 and at + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start)
            start += 8
        elif size == 0:  # to the end
            size = end - at
        if size < start - at:
            return
        yield kind, start, min(at + size, end)
        at += size


def _first(data: bytes, at: int, end: int) -> dict[bytes, tuple[int, int]]:
    """(start, end) of the first box of each type."""
    found: dict[bytes, tuple[int, int]] = {}
    for kind, start, stop in _boxes(data, at, end):
        found.setdefault(kind, (start, stop))
    return found


# --- HEIC and AVIF ------------------------------------------------------------------------------------------------


def heif_size(data: bytes) -> Size | None:
    """The size of the primary item, turned as it is shown; None for one that is cropped, since not every reader does
    that."""
    start, end = _first(data, 0, len(data)).get(b"meta", (0, 0))
    meta = _first(data, start + 4, end)
    if b"pitm" not in meta or b"iprp" not in meta:
        return None
    at = meta[b"pitm"][0]
    (item,) = struct.unpack_from(">I" if data[at] else ">H", data, at + 4)
    size, quarters = None, 0
    for kind, at in _properties(data, item, *meta[b"iprp"]):
        if kind == b"ispe":
            size = struct.unpack_from(">II", data, at + 4)
        elif kind == b"irot":
            quarters = data[at] & 3
        elif kind == b"clap":
            return None
    return size[::-1] if size and quarters % 2 else size


def _properties(data: bytes, item: int, at: int, end: int) -> Iterator[tuple[bytes, int]]:
    """(type, start) of each property of an item, from the boxes of ``iprp``."""
    inner = list(_boxes(data, at, end))
    known = [box for kind, start, stop in inner if kind == b"ipco" for box in _boxes(data, start, stop)]
    for kind, start, stop in inner:
        if kind == b"ipma":
            for index in _associated(data, item, start, stop):
                if 0 < index <= len(known):
                    yield known[index - 1][:2]


def _associated(data: bytes, item: int, at: int, end: int) -> Iterator[int]:
    """Numbers, from 1, of the item's properties in an ``ipma`` box."""
    version_and_flags, count = struct.unpack_from(">II", data, at)
    entry = struct.Struct(">IB" if version_and_flags >> 24 else ">HB")
    width = 2 if version_and_flags & 1 else 1
    at += 8
    for _ in range(min(count, _MAX_BOXES)):
        if at + entry.size > end:
            return
        found, number = entry.unpack_from(data, at)
        at += entry.size
        if found == item:
            for start in range(at, min(at + number * width, end), width):
                # The upper bit says that the property is essential.
                yield int.from_bytes(data[start : start + width], "big") & ((1 << width * 8 - 1) - 1)
            return
        at += number * width


# --- JPEG 2000 ----------------------------------------------------------------------------------------------------


def jp2_size(data: bytes) -> Size | None:
    """The size in the image header box, else that of the first codestream."""
    found = _first(data, 0, len(data))
    header = _first(data, *found.get(b"jp2h", (0, 0)))
    if b"ihdr" in header:
        height, width = struct.unpack_from(">II", data, header[b"ihdr"][0])
        return width, height
    if b"jp2c" in found:
        return codestream_size(data, found[b"jp2c"][0])
    return None


def codestream_size(data: bytes, at: int = 0) -> Size | None:
    """The size of the image on its reference grid, in the marker segment ``SIZ``."""
    if data[at : at + 4] != b"\xff\x4f\xff\x51":
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return right - left, bottom - top
