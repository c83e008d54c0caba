# SPDX-License-Identifier: Apache-2.0
"""Encodings of objects that the standard library does not know; pyarrow brings them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pyarrow as pa

from airflow_provider_aigen.core.document.content_encoding import Decoder

__all__ = ["DECODERS"]


def _decoded(codec: str, body: bytes, most: int) -> bytes | None:
    try:
        with pa.CompressedInputStream(pa.BufferReader(body), codec) as stream:
            read: bytes = stream.read(most)
    except (OSError, pa.ArrowException):
        return None
    return read


# By the names that `Content-Encoding` has for them.
DECODERS: Mapping[str, Decoder] = {"br": partial(_decoded, "brotli"), "zstd": partial(_decoded, "zstd")}
