# SPDX-License-Identifier: Apache-2.0
"""JPEG: the first start of frame."""

from __future__ import annotations

import re
import struct

from airflow_provider_aigen.core.document.formats import Size

__all__ = ["jpeg_size"]

# A marker is the first byte behind 0xFF that is neither 0xFF (fill) nor 0 (a stuffed byte of data).
_MARKER = re.compile(rb"\xff([^\x00\xff])", re.DOTALL)
_NO_SEGMENT = frozenset({0x01, *range(0xD0, 0xD9)})
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_END = frozenset({0xD9, 0xDA})
# A file of 10 MB in whole segments has 160.
_MAX_SEGMENTS = 10_000


def jpeg_size(data: bytes) -> Size | None:
    """The frame's size; None where the scan begins before a frame."""
    at = 2
    for _ in range(_MAX_SEGMENTS):
        found = _MARKER.search(data, at)
        if found is None:
            return None
        at, marker = found.end(), data[found.end() - 1]
        if marker in _NO_SEGMENT:
            continue
        if marker in _END:
            return None
        if marker in _START_OF_FRAME:
            height, width = struct.unpack_from(">3xHH", data, at)
            return width, height  # a height of 0 is told by a later marker: unknown
        at += max(2, *struct.unpack_from(">H", data, at))
    return None
