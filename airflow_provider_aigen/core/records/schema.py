# SPDX-License-Identifier: Apache-2.0
"""Record schemas: which fields of a document type have a column in ``records``, and of which type."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from airflow_provider_aigen.core.checks import partition_keys
from airflow_provider_aigen.core.errors import ConfigurationError

__all__ = [
    "FIXED_COLUMNS",
    "TYPES",
    "RecordColumn",
    "RecordSchema",
    "built_in_schema",
    "check_record_schema",
    "record_columns",
    "record_schema",
]

TYPES = ("text", "date", "year", "integer", "decimal", "plate", "province")

RecordSchema = tuple[tuple[str, str], ...]
"""Fields and their types, in the order of the columns."""

FIXED_COLUMNS = frozenset(
    {
        "document_id", "source_uri", "page_number", "unreadable", "min_confidence", "needs_review", "document_type",
        "extracted_at", "commit",
    }
)  # fmt: skip
"""The columns that ``records`` has whatever the schema is (``adapters/tables/schemas.py``)."""

_BUILT_IN: Mapping[str, Mapping[str, str]] = {
    # The order is that of the book; the odd spellings are the vendor's (contract, Field names).
    "vehicle-registration-book/v2": {
        "registration_date": "date",
        "registration_number_car": "plate",
        "province": "province",
        "type": "text",
        "characteristic": "text",
        "brand_car": "text",
        "model": "text",
        "year_model": "year",
        "color": "text",
        "car_number": "text",
        "car_number_position": "text",
        "brand_engine": "text",
        "engine_number": "text",
        "engine_number_position": "text",
        "type_fuel": "text",
        "characteristic_drive": "text",
        "horsepower": "decimal",
        "engine_size": "decimal",
        "weight_car": "decimal",
        "weight_all": "decimal",
        "number_of_seat": "integer",
        "date_of_posession": "date",
        "ownership": "text",
        "ownership_number_of_card": "text",
        "ownership_birthday_date": "date",
        "ownership_adress": "text",
    },
}
_COLUMN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class RecordColumn:
    """A column of ``records``: its name, the field that it is read from, and its type. A field of the type ``province``
    has two: the second one's type is ``province_code``."""

    name: str
    field: str
    type: str


def record_columns(schema: RecordSchema) -> tuple[RecordColumn, ...]:
    """The columns of a schema, in its order. Raises ``ConfigurationError`` for a type that only a newer version has."""
    if unknown := {type_ for _, type_ in schema}.difference(TYPES):
        raise ConfigurationError(
            "state",
            f"a commit has a field of the type {min(unknown)!r}, which this version does not know: upgrade it here",
        )
    return tuple(column for field, type_ in schema for column in _columns(field, type_))


def check_record_schema(given: Any, partition: str | None = None) -> None:
    """Raise ``ConfigurationError`` unless ``given`` is a schema that a table can have: types that exist, and for each
    field a column of its own, which is no fixed column and no key of ``partition``."""
    if not isinstance(given, Mapping) or not all(isinstance(name, str) and name for name in given):
        raise ConfigurationError(
            "record_schema", 'must be a dict of field names and types, such as {"total": "decimal"}, or {} for none'
        )
    for field, type_ in given.items():
        if type_ not in TYPES:
            raise ConfigurationError(
                "record_schema", f"has no known type for the field {field!r}: use one of {', '.join(TYPES)}"
            )
    columns = record_columns(tuple(given.items()))
    for column in columns:
        if not _COLUMN.fullmatch(column.name):
            raise ConfigurationError(
                "record_schema",
                f"has the field {column.field!r}, whose name cannot be a column's: use fields with names of Latin "
                "letters, digits, _ and . only",
            )
    _check_names(columns, partition_keys(partition) if partition else ())


def record_schema(document_type: str, given: Mapping[str, str] | None, partition: str) -> RecordSchema:
    """The schema of a run: what was ``given``, or else the built-in one of its document type. It is empty where there
    is none, or where ``{}`` was given. Raises ``ConfigurationError`` as :func:`check_record_schema`."""
    if given is None:
        return built_in_schema(document_type, partition)
    check_record_schema(given, partition)
    return tuple(given.items())


@lru_cache(maxsize=256)
def built_in_schema(document_type: str, partition: str) -> RecordSchema:
    """The built-in schema of the document type; empty where it has none. It leaves out fields whose columns would have
    the name of a key of the partition: an engine reads the path's value there."""
    keys = {key.lower() for key in partition_keys(partition)}
    return tuple(
        (field, type_)
        for field, type_ in _BUILT_IN.get(document_type, {}).items()
        if not keys.intersection(column.name for column in _columns(field, type_))
    )


def _columns(field: str, type_: str) -> Iterable[RecordColumn]:
    name = re.sub(r"[.\[\]]+", "_", field).rstrip("_")
    yield RecordColumn(name, field, type_)
    if type_ == "province":
        yield RecordColumn(f"{name}_code", field, "province_code")


def _check_names(columns: Iterable[RecordColumn], keys: Iterable[str]) -> None:
    """Engines ignore the case of names."""
    taken = {key.lower() for key in keys}
    seen: dict[str, str] = {}
    for column in columns:
        name = column.name.lower()
        if name in FIXED_COLUMNS:
            raise ConfigurationError(
                "record_schema", f"has the field {column.field!r}, and {column.name} is a column of records already"
            )
        if name in taken:
            raise ConfigurationError(
                "record_schema",
                f"has the field {column.field!r}, and {column.name} is a key of the partition: choose another key",
            )
        if name in seen:
            raise ConfigurationError(
                "record_schema",
                f"has the column {column.name} twice, for the fields {seen[name]!r} and {column.field!r}: leave one of "
                "them out",
            )
        seen[name] = column.field
