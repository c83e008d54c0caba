# SPDX-License-Identifier: Apache-2.0
"""Formats whose size stands at a fixed place, or nearly: PNG, GIF, BMP, WebP, PNM and PAM."""

from __future__ import annotations

import re
import struct

from airflow_provider_aigen.core.document.formats import Size

__all__ = ["bmp_size", "dib_size", "gif_size", "is_bmp", "is_dib", "is_pnm", "png_size", "pnm_size", "webp_size"]


def png_size(data: bytes) -> Size | None:
    """The size in ``IHDR``."""
    return struct.unpack_from(">II", data, 16) if data[12:16] == b"IHDR" else None


# --- GIF ----------------------------------------------------------------------------------------------------------

_EXTENSION, _FRAME = b"\x21", b"\x2c"
_MAX_BLOCKS = 1000


def gif_size(data: bytes) -> Size | None:
    """The size of the logical screen, which readers enlarge where the first frame goes beyond it."""
    width, height = struct.unpack_from("<HH", data, 6)
    at = _first_frame(data)
    if data[at : at + 1] == _FRAME and at + 9 <= len(data):
        left, top, frame_width, frame_height = struct.unpack_from("<HHHH", data, at + 1)
        return max(width, left + frame_width), max(height, top + frame_height)
    return width, height


def _first_frame(data: bytes) -> int:
    """Where the first block begins that is no extension."""
    flags = int.from_bytes(data[10:11], "big")
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    inside = False
    for _ in range(_MAX_BLOCKS):
        block = data[at : at + 1]
        if inside:
            length = int.from_bytes(block, "big")
            at += 1 + length
            inside = length > 0
        elif block == _EXTENSION:
            at += 2
            inside = True
        else:
            break
    return at


# --- BMP ----------------------------------------------------------------------------------------------------------

_OS2_CORE_HEADER = 12
# OS/2's second header may end anywhere between 16 and 64 bytes. Windows has 40, 52, 56, 108 and 124.
_HEADER_LENGTHS = frozenset({_OS2_CORE_HEADER, *range(16, 65), 108, 124})
_BITS = frozenset({1, 2, 4, 8, 16, 24, 32})


def is_bmp(data: bytes) -> bool:
    """Whether a header follows "BM", with which many a text begins."""
    return data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in _HEADER_LENGTHS


def is_dib(data: bytes) -> bool:
    """Whether the file is a bitmap without the file's header, as clipboards and resources hold it."""
    planes, bits = int.from_bytes(data[12:14], "little"), int.from_bytes(data[14:16], "little")
    return data[:4] == b"\x28\0\0\0" and planes == 1 and bits in _BITS


def bmp_size(data: bytes) -> Size | None:
    """The size in the bitmap's header, which stands behind the file's."""
    return dib_size(data, 14)


def dib_size(data: bytes, at: int = 0) -> Size | None:
    """The size in the bitmap's header at ``at``."""
    if int.from_bytes(data[at : at + 4], "little") == _OS2_CORE_HEADER:
        return struct.unpack_from("<HH", data, at + 4)
    width, height = struct.unpack_from("<ii", data, at + 4)
    return width, abs(height)  # negative: the rows run from the top


# --- WebP ---------------------------------------------------------------------------------------------------------


def webp_size(data: bytes) -> Size | None:
    """The canvas, or the size of the only image."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = struct.unpack_from("<3s3s", data, 24)
        return int.from_bytes(width, "little") + 1, int.from_bytes(height, "little") + 1
    if kind == b"VP8L" and data[20:21] == b"\x2f":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF  # the upper two bits are a scale
    return None


# --- PNM and PAM --------------------------------------------------------------------------------------------------

_MAX_HEADER = 1024 * 1024
# Comments stand anywhere in white space. What is found is not given back, so the time is linear. Up to Python 3.11.4,
# possessive quantifiers behind groups take too much (CPython issue 106052).
_SPACE = rb"(?>(?:[ \t-\r]+|#[^\r\n]*[\r\n])+)"
_PNM = re.compile(rb"P[1-6Ff]%b([0-9]{1,10})%b([0-9]{1,10})[ \t-\r#]" % (_SPACE, _SPACE))
_PAM = re.compile(rb"P7\r?\n(?:[^\r\n]*+\r?\n){0,100}?ENDHDR")
_PAM_SIDES = tuple(
    re.compile(rb"^[ \t]*+%b[ \t]++([0-9]{1,10})" % side, re.MULTILINE) for side in (b"WIDTH", b"HEIGHT")
)


def is_pnm(data: bytes) -> bool:
    """Whether a header of PBM, PGM, PPM, PFM or PAM is there as a whole: "P5" alone begins many a text."""
    return data[:1] == b"P" and (_pnm(data) is not None or _PAM.match(data) is not None)


def _pnm(data: bytes) -> re.Match[bytes] | None:
    return _PNM.match(data, 0, _MAX_HEADER)


def pnm_size(data: bytes) -> Size | None:
    """The two numbers of the header."""
    if found := _pnm(data):
        return int(found[1]), int(found[2])
    header = _PAM.match(data)
    width, height = (side.search(header[0]) if header else None for side in _PAM_SIDES)
    return (int(width[1]), int(height[1])) if width and height else None
