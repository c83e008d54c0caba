# SPDX-License-Identifier: Apache-2.0
"""Reads an answer's body without trusting it: never more than a given number of bytes, received or decoded.

The request asks for ``identity``. An answer that comes compressed nevertheless may be paid for already, so gzip and
deflate (zlib) are decoded, one bounded piece at a time. The decoders of HTTP clients have no bound, and a small
compressed body may expand a thousandfold.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, Mapping

__all__ = ["BodyTooLarge", "BodyUnreadable", "read_body"]

_GZIP_OR_ZLIB = zlib.MAX_WBITS | 32


class BodyTooLarge(Exception):
    """The body is over the cap, before or after decoding."""


class BodyUnreadable(Exception):
    """The body is not what its headers say: its encoding is unknown or broken."""


async def read_body(headers: Mapping[str, str], pieces: AsyncIterable[bytes], max_bytes: int) -> bytes:
    """The decoded body, whose ``pieces`` are as received. Raises ``BodyTooLarge``, ``BodyUnreadable``, and what
    reading a piece raises."""
    if _declared_length(headers) > max_bytes:
        raise BodyTooLarge
    encoding = headers.get("content-encoding", "identity").strip().lower()
    inflate = _Inflate() if encoding in ("gzip", "x-gzip", "deflate") else None
    if inflate is None and encoding not in ("", "identity"):
        raise BodyUnreadable
    body = bytearray()
    received = 0
    async for chunk in pieces:
        received += len(chunk)
        if received > max_bytes:
            raise BodyTooLarge
        body += inflate.decode(chunk, max_bytes - len(body)) if inflate else chunk
    if inflate is not None and received and not inflate.whole:
        raise BodyUnreadable
    return bytes(body)


def _declared_length(headers: Mapping[str, str]) -> int:
    declared = headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() else 0


class _Inflate:
    """A decoder of zlib and of gzip, which may have several members."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)

    @property
    def whole(self) -> bool:
        """Whether the data ended where its format says."""
        return self._inflater.eof

    def decode(self, chunk: bytes, limit: int) -> bytes:
        """At most ``limit`` bytes; raises ``BodyTooLarge`` where there are more."""
        decoded = bytearray()
        while chunk:
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
            try:
                decoded += self._inflater.decompress(chunk, limit - len(decoded) + 1)
            except zlib.error:
                raise BodyUnreadable from None
            if len(decoded) > limit:
                raise BodyTooLarge
            chunk = self._inflater.unconsumed_tail or self._inflater.unused_data
        return bytes(decoded)
