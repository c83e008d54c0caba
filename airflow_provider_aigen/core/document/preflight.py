# SPDX-License-Identifier: Apache-2.0
"""Bytes → media type and size → accepted or rejected, before anything is paid (contract, Request).

Only headers are read, nothing is decoded, and nothing raises. The contract's limits are the endpoint's to judge: a file
is rejected here only where the header says beyond doubt that it will be refused, and sent where it doesn't.
"""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_aigen.core.document.image_headers import read_header
from airflow_provider_aigen.core.service.codes import (
    EMPTY_OBJECT,
    SIDE_TOO_LONG,
    SIDE_TOO_SHORT,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
)

__all__ = ["MAX_BYTES", "MAX_SIDE_PX", "MAX_STORED_BYTES", "MIN_SIDE_PX", "Accepted", "Rejected", "preflight"]

MIN_SIDE_PX = 500
MAX_SIDE_PX = 10_000
# The contract says 10 MB and not which: of the two readings the larger, since what is between them may be accepted.
MAX_BYTES = 10 * 1024 * 1024
# An object may be so long and hold no more than that: gzip and an upload's chunks make an image a little longer.
MAX_STORED_BYTES = MAX_BYTES + MAX_BYTES // 64


@dataclass(frozen=True, slots=True)
class Accepted:
    """An image that is to be sent. Sizes are in pixels, both None where the header does not tell them: a PDF, a file
    that is cut off."""

    media_type: str
    width: int | None = None
    height: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """An image that is not sent but becomes a dead letter with origin ``preflight``; ``code`` is the contract's where
    it has one."""

    code: str


def preflight(data: bytes) -> Accepted | Rejected:
    """Whether to send these bytes. One side too short and the other too long is ``1001``: the first one wins."""
    if not data:
        return Rejected(EMPTY_OBJECT)
    header = read_header(data)
    if header is None:
        return Rejected(UNSUPPORTED_MEDIA_TYPE)
    if header.size is not None and min(header.size) < MIN_SIDE_PX:
        return Rejected(SIDE_TOO_SHORT)
    if header.size is not None and max(header.size) > MAX_SIDE_PX:
        return Rejected(SIDE_TOO_LONG)
    if len(data) > MAX_BYTES:
        return Rejected(TOO_LARGE)
    width, height = header.size or (None, None)
    return Accepted(header.media_type, width, height)
