# SPDX-License-Identifier: Apache-2.0
"""What an object's bytes hold once what S3 says of their encoding is undone.

``Content-Encoding`` is what the writer said, and it is often wrong: "base64" stands on plain images, and "gzip" on what
a proxy has unpacked. So bytes that are an image or a PDF are taken as they are. Gzip is known by its first bytes,
whether the header names it or not, because a copy loses the header and a ``.jpg.gz`` never had it. Nothing raises, and
no more is unpacked than can be sent.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Callable, Mapping
from types import MappingProxyType

from airflow_provider_aigen.core.document.image_headers import PDF, read_header
from airflow_provider_aigen.core.document.preflight import Rejected
from airflow_provider_aigen.core.service.codes import TOO_LARGE, UNDECODABLE_CONTENT

__all__ = ["Decoder", "decoded"]

# (bytes, so many) → the first so many bytes of what they hold; None where they are not encoded so, or are damaged.
Decoder = Callable[[bytes, int], bytes | None]

_GZIP = b"\x1f\x8b\x08"
_GZIP_NAMES = ("gzip", "x-gzip")
_IDENTITY = frozenset({"", "identity", "aws-chunked"})
_MAX_LAYERS = 5
# Block-wise gzip has a member for each 64 KiB.
_MAX_MEMBERS = 1000
_MAX_CHUNKS = 100_000
_INPUT = 64 * 1024


def decoded(
    body: bytes, content_encoding: str | None, most: int, decoders: Mapping[str, Decoder] = MappingProxyType({})
) -> bytes | Rejected:
    """The bytes to look at and to send, or the code for those that cannot be had. ``decoders`` has encodings that the
    standard library does not know, by name."""
    if not content_encoding and not body.startswith(_GZIP):
        return body
    codings = [coding.strip().lower() for coding in (content_encoding or "").split(",")]
    # It is the transfer's, so the outermost wherever it is named. Some stores leave its frames in the object.
    if "aws-chunked" in codings:
        body = _without_chunks(body)
    codings = [coding for coding in codings if coding not in _IDENTITY]
    for _ in range(_MAX_LAYERS):
        if body.startswith(_GZIP):
            coding = codings.pop() if codings and codings[-1] in _GZIP_NAMES else "gzip"
        elif not codings or _is_plain(body):
            return body
        else:
            coding = codings.pop()
        decoder = _DECODERS.get(coding) or decoders.get(coding)
        plain = decoder(body, most + 1) if decoder else None
        if plain is None:
            return body if read_header(body) else Rejected(UNDECODABLE_CONTENT)
        if len(plain) > most:
            return Rejected(TOO_LARGE)
        body = plain
    return Rejected(UNDECODABLE_CONTENT)


def _is_plain(body: bytes) -> bool:
    """Whether the bytes begin as an image or a PDF does. Behind a few others "%PDF-" may stand in encoded bytes too."""
    header = read_header(body)
    return header is not None and (header.media_type != PDF or body.startswith(b"%PDF-"))


def _gunzipped(body: bytes, most: int) -> bytes | None:
    """All members; what follows them and is none is ignored, as gzip does."""
    plain, at = bytearray(), 0
    for _ in range(_MAX_MEMBERS):
        end = _inflate(body, at, plain, most, 16 + zlib.MAX_WBITS)
        if end is None:
            return None
        at = end
        if len(plain) >= most or not body.startswith(_GZIP, at):
            return bytes(plain)
    return None


def _inflated(body: bytes, most: int) -> bytes | None:
    """With zlib's frame, as the standard says, or without, as some writers do."""
    for window in (zlib.MAX_WBITS, -zlib.MAX_WBITS):
        plain = bytearray()
        if _inflate(body, 0, plain, most, window) is not None:
            return bytes(plain)
    return None


def _inflate(body: bytes, at: int, plain: bytearray, most: int, window: int) -> int | None:
    """Append what one stream at ``at`` holds until there are ``most`` bytes; where it ends, or None where it is cut off
    or damaged."""
    stream = zlib.decompressobj(window)
    try:
        while not stream.eof and len(plain) < most:
            if at >= len(body):
                return None
            plain += stream.decompress(body[at : at + _INPUT], most - len(plain))
            at += _INPUT
    except zlib.error:
        return None
    return min(at, len(body)) - len(stream.unused_data)


def _from_base64(body: bytes, most: int) -> bytes | None:
    try:
        return binascii.a2b_base64(body.translate(None, b" \t\r\n"), strict_mode=True)[:most]
    except binascii.Error:
        return None


_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;[^\r\n]{0,200})?\r\n")


def _without_chunks(body: bytes) -> bytes:
    """What the chunks hold; the bytes themselves where they are no chunks."""
    parts: list[bytes] = []
    at = 0
    for _ in range(_MAX_CHUNKS):
        head = _CHUNK.match(body, at)
        if head is None:
            break
        start, end = head.end(), head.end() + int(head[1], 16)
        if start == end:
            return b"".join(parts)
        if body[end : end + 2] != b"\r\n":
            break
        parts.append(body[start:end])
        at = end + 2
    return body


_DECODERS: Mapping[str, Decoder] = {
    **dict.fromkeys(_GZIP_NAMES, _gunzipped),
    "deflate": _inflated,
    "base64": _from_base64,
}
