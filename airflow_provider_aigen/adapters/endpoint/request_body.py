# SPDX-License-Identifier: Apache-2.0
"""``{"image": "<base64>"}`` around an image (contract, Request), made piece by piece as it is sent.

So a request takes little memory beside its image, and the event loop stands for no longer than one piece takes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pybase64

__all__ = ["body_length", "body_pieces", "body_stream"]

_BEFORE, _AFTER = b'{"image":"', b'"}'
# Of the image. Base64 has four characters for three bytes: only pieces of threes can be joined.
_PIECE = 3 * 64 * 1024


def body_length(image: bytes) -> int:
    """How many bytes the body has."""
    return len(_BEFORE) + (len(image) + 2) // 3 * 4 + len(_AFTER)


def body_pieces(image: bytes) -> Iterator[bytes]:
    """The body, some 256 KiB at a time."""
    view, before = memoryview(image), _BEFORE
    for start in range(0, len(view) - _PIECE, _PIECE):
        yield before + pybase64.b64encode(view[start : start + _PIECE])
        before = b""
    last = len(view) - (len(view) % _PIECE or min(len(view), _PIECE))
    yield before + pybase64.b64encode(view[last:]) + _AFTER


async def body_stream(image: bytes) -> AsyncIterator[bytes]:
    """The same for a client that waits until a piece is sent."""
    for piece in body_pieces(image):
        yield piece
