# SPDX-License-Identifier: Apache-2.0
"""Frozen values ↔ the bytes of a state object: JSON with sorted keys and a schema number, gzip without a time.

Equal values give equal bytes. ``zcat`` shows a person all there is to see: an answer's body is text wherever it is
UTF-8, and each document carries its ``document_id``, which reading ignores.
"""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import TypeAdapter, ValidationError

from airflow_provider_aigen.core.announcing import Announced
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import Claim, CommitEntry, KeptAnswer, Plan, PlanBatch, RunReport, SourceObject
from airflow_provider_aigen.core.spend_records import SpendRecord
from airflow_provider_aigen.core.upkeep.parts import Rebuild

__all__ = ["ANNOUNCED", "ANSWER", "BATCH", "CLAIM", "COMMIT", "PLAN", "REBUILD", "REPORT", "SCHEMA", "SPEND", "Codec"]

SCHEMA = 2

# Of what is written for each document: half the time of level 6, for some six per cent more bytes.
_QUICK = 3

# Window and memory of zlib, as gzip has them, and for what is little: a third of the time, nearly the same bytes.
_USUAL = (16 + 15, 8)
_LITTLE = (16 + 12, 5)
_LITTLE_BYTES = 16 * 1024

# What was added since schema 1 (version 0.1) has defaults, so both are read alike.
_READ = (1, SCHEMA)

# A fifth of json's time for an answer, whose body is the most of it.
_COMPACT = msgspec.json.Encoder(order="sorted")

T = TypeVar("T")


class Codec(Generic[T]):
    """Of one kind of value; ``kind`` names it in the message about one that can't be read, ``level`` is gzip's."""

    def __init__(self, kind: str, model: type[T], *, level: int = 6) -> None:
        self._kind = kind
        self._level = level
        self._adapter = TypeAdapter(model)

    def to_json(self, value: T, *, indent: int | None = None) -> bytes:
        """UTF-8 JSON, compact unless ``indent``."""
        fields = {"schema": SCHEMA, **self._fields(value)}
        if indent:
            return json.dumps(fields, allow_nan=False, ensure_ascii=False, indent=indent, sort_keys=True).encode()
        return _COMPACT.encode(fields)

    def to_gzip(self, value: T) -> bytes:
        text = self.to_json(value)
        packer = zlib.compressobj(self._level, zlib.DEFLATED, *(_LITTLE if len(text) <= _LITTLE_BYTES else _USUAL))
        return packer.compress(text) + packer.flush()

    def from_gzip(self, data: bytes) -> T:
        """Raises ``ConfigurationError`` for what is damaged, or was written by a newer version of this package."""
        return self._read(self.read(data))

    def from_json(self, data: bytes) -> T:
        """As :meth:`from_gzip`, for what :meth:`to_json` wrote."""
        return self._read(self.read(gzip.compress(data, 0)))

    def _read(self, value: T | None) -> T:
        if value is None:
            raise ConfigurationError(
                "state", f"a {self._kind} cannot be read: it is damaged, or something else wrote under the state prefix"
            )
        return value

    def read(self, data: bytes) -> T | None:
        """None for what is damaged. Raises ``ConfigurationError`` for what a newer version of this package wrote."""
        try:
            text = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):
            return None
        return self.read_json(text)

    def read_json(self, data: bytes) -> T | None:
        """The same for what is not compressed."""
        schema: Any = None
        try:
            stored = json.loads(data)
            schema = stored["schema"]
            if schema in _READ:
                return self._adapter.validate_python(self._stored_fields(stored))
        except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
            pass  # raised below, so that nothing of what was read is chained to it
        if isinstance(schema, int) and schema > SCHEMA:
            raise ConfigurationError(
                "state",
                f"a {self._kind} was written by a newer airflow-provider-aigen (schema {schema}, this one reads up to "
                f"{SCHEMA}): upgrade it here",
            )
        return None

    def _fields(self, value: T) -> dict[str, Any]:
        fields: dict[str, Any] = self._adapter.dump_python(value, mode="json")
        return fields

    def _stored_fields(self, stored: dict[str, Any]) -> dict[str, Any]:
        return stored


class _AnswerCodec(Codec[KeptAnswer]):
    def _fields(self, value: KeptAnswer) -> dict[str, Any]:
        fields: dict[str, Any] = self._adapter.dump_python(value, mode="json", exclude={"body"})
        try:
            fields["body"] = value.body.decode()
        except UnicodeDecodeError:
            fields["body_base64"] = base64.b64encode(value.body).decode()
        return fields

    def _stored_fields(self, stored: dict[str, Any]) -> dict[str, Any]:
        encoded = stored.pop("body_base64", None)
        body = stored["body"].encode() if encoded is None else base64.b64decode(encoded, validate=True)
        return {**stored, "body": body}


class _BatchCodec(Codec[PlanBatch]):
    def _fields(self, value: PlanBatch) -> dict[str, Any]:
        fields = super()._fields(value)
        _add_ids(value.documents, fields["documents"])
        return fields


class _CommitCodec(Codec[CommitEntry]):
    def _fields(self, value: CommitEntry) -> dict[str, Any]:
        fields = super()._fields(value)
        _add_ids(
            [outcome.document for outcome in value.outcomes],
            [outcome["document"] for outcome in fields["outcomes"]],
        )
        return fields


def _add_ids(documents: Sequence[SourceObject], stored: Sequence[dict[str, Any]]) -> None:
    for document, fields in zip(documents, stored, strict=True):
        fields["document_id"] = document.document_id


ANNOUNCED: Codec[Announced] = Codec("account of what is announced", Announced)
ANSWER: Codec[KeptAnswer] = _AnswerCodec("kept answer", KeptAnswer, level=_QUICK)
BATCH: Codec[PlanBatch] = _BatchCodec("batch of a plan", PlanBatch)
CLAIM: Codec[Claim] = Codec("claim", Claim, level=_QUICK)
COMMIT: Codec[CommitEntry] = _CommitCodec("commit", CommitEntry)
PLAN: Codec[Plan] = Codec("plan", Plan)
REBUILD: Codec[Rebuild] = Codec("rebuild", Rebuild)
REPORT: Codec[RunReport] = Codec("report", RunReport)
SPEND: Codec[SpendRecord] = Codec("spend record", SpendRecord)
