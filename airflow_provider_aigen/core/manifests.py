# SPDX-License-Identifier: Apache-2.0
"""Manifests: the bytes of an S3 Inventory or of a list of URIs → objects.

A wrong manifest raises ``ConfigurationError``. Its message names the row, never a key.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from airflow_provider_aigen.core.checks import CSV_LIST
from airflow_provider_aigen.core.errors import ConfigurationError
from airflow_provider_aigen.core.models import SourceObject

__all__ = ["DataFile", "Inventory", "check_columns", "csv_rows", "inventory_objects", "listed_keys"]

_OBJECT = re.compile(r"s3://([^/]+)/(.+)", re.DOTALL)
# Of each: the field's name in a CSV inventory, and its column in a Parquet one.
_COLUMNS = {
    "Bucket": "bucket",
    "Key": "key",
    "Size": "size",
    "LastModifiedDate": "last_modified_date",
    "ETag": "e_tag",
    "VersionId": "version_id",
    "IsLatest": "is_latest",
    "IsDeleteMarker": "is_delete_marker",
}
_NEEDED = ("bucket", "key", "size", "last_modified_date", "e_tag")


# --- S3 Inventory -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file of an inventory. ``md5`` is in hex digits."""

    key: str
    size: int
    md5: str


@dataclass(frozen=True, slots=True)
class Inventory:
    """``bucket`` is where its data ``files`` lie; ``columns`` are those of a CSV, in order, by the names that a Parquet
    file gives them, and None for one that is not needed."""

    source_bucket: str
    bucket: str
    is_parquet: bool
    columns: tuple[str | None, ...]
    files: tuple[DataFile, ...]

    @classmethod
    def parse(cls, data: bytes, source_bucket: str) -> Inventory:
        """``data`` is the manifest.json. Raises ``ConfigurationError``."""
        try:
            read = json.loads(data)
            inventory = cls(
                source_bucket=str(read["sourceBucket"]),
                bucket=str(read["destinationBucket"]).rpartition(":")[2],
                is_parquet=str(read["fileFormat"]).lower() == "parquet",
                columns=tuple(_COLUMNS.get(name.strip()) for name in str(read["fileSchema"]).split(",")),
                files=tuple(
                    DataFile(str(one["key"]), int(one["size"]), str(one["MD5checksum"]).lower())
                    for one in read["files"]
                ),
            )
            file_format = str(read["fileFormat"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise ConfigurationError(
                "manifest", "is not the manifest.json of an S3 Inventory: fields of it are missing or damaged"
            ) from None
        if inventory.source_bucket.rpartition(":")[2] != source_bucket:
            raise ConfigurationError("manifest", "is the inventory of another bucket than that of source")
        if file_format.lower() not in ("csv", "parquet"):
            raise ConfigurationError(
                "manifest", "is an inventory in ORC: set the inventory's output format to CSV or Parquet"
            )
        if not inventory.is_parquet:
            check_columns([column for column in inventory.columns if column])
        return inventory


def check_columns(columns: Sequence[str]) -> None:
    """Raise ``ConfigurationError`` unless the inventory has the columns that are needed."""
    missing = [name for name, column in _COLUMNS.items() if column in _NEEDED and column not in columns]
    if missing:
        raise ConfigurationError(
            "manifest",
            f"is an inventory without {', '.join(missing)}: add Size, Last modified and ETag to the inventory's "
            "additional fields",
        )
    if "version_id" in columns and not {"is_latest", "is_delete_marker"} <= set(columns):
        raise ConfigurationError(
            "manifest",
            "is an inventory of all versions that does not say which is the latest: include the current versions only",
        )


def csv_rows(text: Iterable[str], columns: Sequence[str | None]) -> Iterator[Mapping[str, Any]]:
    """The rows of a data file in CSV by column, as a Parquet file has them. Their keys are URL-encoded."""
    for number, cells in enumerate(csv.reader(text), start=1):
        if len(cells) != len(columns):
            raise ConfigurationError(
                "manifest", f"has a data file whose row {number} has {len(cells)} fields, not {len(columns)}"
            )
        row: dict[str, Any] = {name: cell for name, cell in zip(columns, cells, strict=True) if name}
        try:
            row["key"] = unquote_plus(row["key"], errors="strict")
            row["size"] = int(row["size"] or 0)
            row["last_modified_date"] = datetime.fromisoformat(row["last_modified_date"])
        except ValueError:
            raise ConfigurationError(
                "manifest", f"has a data file whose row {number} cannot be read: its key, size or date is none"
            ) from None
        for name in ("is_latest", "is_delete_marker"):
            row[name] = row.get(name, "true" if name == "is_latest" else "false").lower() == "true"
        yield row


def inventory_objects(rows: Iterable[Mapping[str, Any]], bucket: str) -> Iterator[SourceObject]:
    """The current versions of the rows, without delete markers. Raises ``ConfigurationError`` for a row of another
    bucket than ``bucket``."""
    for row in rows:
        if row["bucket"] != bucket:
            raise ConfigurationError(
                "manifest", "is an inventory that has objects of another bucket than that of source"
            )
        if not row.get("is_latest", True) or row.get("is_delete_marker") or not row["e_tag"]:
            continue
        modified = row["last_modified_date"]
        yield SourceObject(
            bucket,
            row["key"],
            row["e_tag"].strip('"'),
            row["size"] or 0,
            modified.astimezone(UTC) if modified.tzinfo else modified.replace(tzinfo=UTC),
        )


# --- lists of URIs ------------------------------------------------------------------------------------------------


def listed_keys(text: str, kind: str, bucket: str) -> dict[str, int]:
    """The keys that a list of URIs names, each once, with the numbers of their rows; ``kind`` is that of
    ``core.checks.check_manifest``. Raises ``ConfigurationError`` for a row that is no URI of an object of ``bucket``.
    """
    found: dict[str, int] = {}
    for number, uri in _csv_uris(text) if kind == CSV_LIST else _json_uris(text):
        match = _OBJECT.fullmatch(uri) if isinstance(uri, str) else None
        if match is None:
            raise ConfigurationError(
                "manifest",
                f"has a row {number} that is not the S3 URI of an object, such as s3://scans/incoming/0001.jpg",
            )
        if match[1] != bucket:
            raise ConfigurationError("manifest", f"has a row {number} of another bucket than that of source")
        found.setdefault(match[2], number)
    return found


def _csv_uris(text: str) -> Iterator[tuple[int, str]]:
    column = 0
    for number, cells in enumerate(csv.reader(io.StringIO(text, newline="")), start=1):
        if not any(cells):
            continue
        if number == 1 and not any(cell.startswith("s3://") for cell in cells):
            names = [cell.strip().lower() for cell in cells]
            if "uri" not in names:
                raise ConfigurationError("manifest", "has a first row without an S3 URI and without a column uri")
            column = names.index("uri")
            continue
        yield number, cells[column] if column < len(cells) else ""


def _json_uris(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError:
            raise ConfigurationError("manifest", f"has a row {number} that is not JSON") from None
        yield number, value.get("uri") if isinstance(value, dict) else value
