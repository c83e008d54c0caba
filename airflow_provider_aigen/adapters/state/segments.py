# SPDX-License-Identifier: Apache-2.0
"""Segments of the folded ledger ↔ bytes, and their names: ``ledger/<first>-<last>.zst``.

``zstd -dc`` shows one line of JSON with all that is no taken id, then the ids, 16 bytes each.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from airflow_provider_aigen.core.folding import ID_BYTES, Segment, Span

__all__ = ["is_of_a_newer_version", "segment_from_zstd", "segment_name", "segment_to_zstd", "span_of_name"]

_SCHEMA = 1
_NAME = re.compile(r"(\d{8,})-(\d{8,})\.zst")
_SEGMENT = TypeAdapter(Segment)


def segment_name(span: Span) -> str:
    """The name of the segment of these commits."""
    return f"{span.first:08d}-{span.last:08d}.zst"


def span_of_name(name: str) -> Span | None:
    """None for a name that is not one of a segment."""
    match = _NAME.fullmatch(name)
    return Span(int(match[1]), int(match[2])) if match else None


def segment_to_zstd(segment: Segment) -> bytes:
    """What is stored of the segment."""
    facts: dict[str, Any] = _SEGMENT.dump_python(segment, mode="json", exclude={"taken"})
    facts |= {"schema": _SCHEMA, "ids": len(segment.taken) // ID_BYTES, "sha256": _digest(segment.taken)}
    head = json.dumps(facts, separators=(",", ":"), sort_keys=True).encode()
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(head + b"\n")
        stream.write(segment.taken)
    compressed: bytes = sink.getvalue().to_pybytes()
    return compressed


def segment_from_zstd(data: bytes, span: Span) -> Segment | None:
    """None for what is damaged, is not the segment of ``span``, or was written by a newer version of this package."""
    try:
        facts, taken = _parts(data)
        if facts["schema"] != _SCHEMA or facts["ids"] * ID_BYTES != len(taken) or facts["sha256"] != _digest(taken):
            return None
        segment = _SEGMENT.validate_python({**facts, "taken": taken})
    except (OSError, ValueError, KeyError, TypeError, ValidationError, pa.ArrowException):
        return None
    return segment if segment.span == span else None


def is_of_a_newer_version(data: bytes) -> bool:
    """Whether a newer version of this package wrote it."""
    try:
        schema = _parts(data)[0]["schema"]
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return False
    return isinstance(schema, int) and schema > _SCHEMA


def _parts(data: bytes) -> tuple[Any, bytes]:
    raw = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
    end = raw.index(b"\n")
    return json.loads(raw[:end]), raw[end + 1 :]


def _digest(taken: bytes) -> str:
    return hashlib.sha256(taken).hexdigest()
