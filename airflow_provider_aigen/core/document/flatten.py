# SPDX-License-Identifier: Apache-2.0
"""Answer → field rows, in the order of the wire (design §4, ``fields``).

Nothing here knows a field's name. A page's fields are FieldObjects of the contract; other documents of the vendor may
nest them, which gives paths: ``owner.name``, ``seats[0].number``. What the contract does not foresee becomes text or
null, never an error: the answer is paid.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from airflow_provider_aigen.core.models import Answer, Box, FieldRow, Point

__all__ = ["confidences", "flatten", "needs_review"]

_FIELD_OBJECT_KEYS = frozenset({"value", "confidence", "bboxes", "bboxes_norm"})
# Stricter than float(), which takes "nan", "1_0" and digits of other scripts.
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def flatten(answer: Answer) -> tuple[FieldRow, ...]:
    """One row for each field on each page. A field is a FieldObject, a scalar or null, or an empty object or list."""
    return tuple(
        _row(number, name, field)
        for number, page in enumerate(answer.pages, start=1)
        for key, value in page.items()
        for name, field in _fields(key, value)
    )


def needs_review(row: FieldRow, min_confidence: float | None) -> bool:
    """Whether the row's confidence is null or under ``min_confidence``; without a limit no row needs review."""
    return min_confidence is not None and (row.confidence is None or row.confidence < min_confidence)


def confidences(rows: Sequence[FieldRow]) -> tuple[float, float] | None:
    """The least and the mean confidence of the rows that have one; None where none has."""
    known = [row.confidence for row in rows if row.confidence is not None]
    return (min(known), math.fsum(known) / len(known)) if known else None


def _fields(name: str, value: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(path, FieldObject) of every field at or under ``value``; depth is bounded by ``core.service.wire``."""
    if isinstance(value, Mapping) and value and not _FIELD_OBJECT_KEYS.isdisjoint(value):
        yield name, value
    elif isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _fields(f"{name}.{key}", item)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _fields(f"{name}[{index}]", item)
    else:
        # An empty object or list is a field without a value: it was there, so it has a row.
        yield name, {"value": value or None if isinstance(value, (Mapping, list)) else value}


def _row(page_number: int, name: str, field: Mapping[str, Any]) -> FieldRow:
    return FieldRow(
        page_number=page_number,
        field_name=name,
        value=_text(field.get("value")),
        confidence=_confidence(field.get("confidence")),
        bboxes=_boxes(field.get("bboxes")),
        bboxes_norm=_boxes(field.get("bboxes_norm")),
    )


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)


def _confidence(value: Any) -> float | None:
    """A number from 0 to 1. ``-1.0`` is the vendor's "validation failed", which is no confidence (contract, Answer)."""
    if isinstance(value, str):
        value = float(value) if _NUMBER.fullmatch(value.strip()) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value <= 1:
        return None
    return float(value) + 0.0  # -0.0 becomes 0.0


def _boxes(value: Any) -> tuple[Box, ...] | None:
    """Boxes of points; None where any part of it has another shape, for half a box would be a wrong one."""
    if not isinstance(value, list):
        return None
    boxes = [_box(box) for box in value]
    return None if None in boxes else tuple(box for box in boxes if box is not None)


def _box(value: Any) -> Box | None:
    if not isinstance(value, list) or not value:
        return None
    points = [_point(point) for point in value]
    return None if None in points else tuple(point for point in points if point is not None)


def _point(value: Any) -> Point | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    x, y = (_coordinate(number) for number in value)
    return None if x is None or y is None else (x, y)


def _coordinate(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None
