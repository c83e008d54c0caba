# SPDX-License-Identifier: Apache-2.0
"""TIFF and BigTIFF: the largest of all pages."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from airflow_provider_aigen.core.document.formats import Size

__all__ = ["tiff_size"]

_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _INNER = 254, 255, 256, 257, 330
_TAGS = frozenset({_SUBFILE, _OLD_SUBFILE, _WIDTH, _HEIGHT, _INNER})
_REDUCED, _OLD_REDUCED = 1, 2
# By the type's number: byte, short, long, offset; long and offset of eight bytes.
_NUMBERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
# A walk over more is given up; a page has some 15 entries.
_MAX_DIRECTORIES = 2000
_MAX_ENTRIES = 40_000
_MAX_INNER = 100


@dataclass(frozen=True, slots=True)
class _Layout:
    """How a directory is laid out: ``entry`` is tag, type, count and value."""

    order: str
    offset: struct.Struct
    count: struct.Struct
    entry: struct.Struct


def _layout(order: str, offset: str, count: str) -> _Layout:
    entry = struct.Struct(f"{order}HH{offset}{struct.calcsize(offset)}s")
    return _Layout(order, struct.Struct(order + offset), struct.Struct(order + count), entry)


_CLASSIC = {b"II": _layout("<", "I", "H"), b"MM": _layout(">", "I", "H")}
_BIG = {b"II": _layout("<", "Q", "Q"), b"MM": _layout(">", "Q", "Q")}


def tiff_size(data: bytes) -> Size | None:
    """The size of the page with the most pixels, wherever it stands; None where no page is more than a thumbnail of
    another, or where there are too many to be sure."""
    is_big = 43 in data[2:4]
    layout = (_BIG if is_big else _CLASSIC)[data[:2]]
    waiting = list(layout.offset.unpack_from(data, 8 if is_big else 4))
    seen: set[int] = set()
    largest, entries = (0, 0), 0
    while waiting:
        at = waiting.pop()
        if at in seen or not 0 < at <= len(data) - layout.count.size:
            continue
        seen.add(at)
        count, tags, others = _directory(data, at, layout)
        entries += count
        if len(seen) > _MAX_DIRECTORIES or entries > _MAX_ENTRIES:
            return None
        waiting += others
        size = tags.get(_WIDTH, 0), tags.get(_HEIGHT, 0)
        reduced = tags.get(_SUBFILE, 0) & _REDUCED or tags.get(_OLD_SUBFILE) == _OLD_REDUCED
        if not reduced and size[0] * size[1] > largest[0] * largest[1]:
            largest = size
    return largest


def _directory(data: bytes, at: int, layout: _Layout) -> tuple[int, dict[int, int], tuple[int, ...]]:
    """How many entries the directory at ``at`` has, the numbers that matter, and where other directories are. What is
    cut off is not there."""
    start = at + layout.count.size
    (count,) = layout.count.unpack_from(data, at)
    count = min(count, (len(data) - start) // layout.entry.size, _MAX_ENTRIES + 1)
    end = start + count * layout.entry.size
    tags: dict[int, int] = {}
    others: tuple[int, ...] = ()
    for tag, kind, number, value in layout.entry.iter_unpack(data[start:end]):
        if tag in _TAGS and kind in _NUMBERS:
            numbers = _numbers(data, kind, number, value, layout)
            if tag == _INNER:
                others = numbers
            elif numbers:
                tags[tag] = numbers[0]
    if end + layout.offset.size <= len(data):
        others += layout.offset.unpack_from(data, end)
    return count, tags, others


def _numbers(data: bytes, kind: int, number: int, value: bytes, layout: _Layout) -> tuple[int, ...]:
    """The first numbers of an entry, which stand in it or, where they do not fit, elsewhere in the file."""
    wanted = f"{layout.order}{min(number, _MAX_INNER)}{_NUMBERS[kind]}"
    size = struct.calcsize(wanted)
    if size <= len(value):
        return struct.unpack_from(wanted, value)
    (at,) = layout.offset.unpack(value)
    return struct.unpack_from(wanted, data, at) if at + size <= len(data) else ()
