# SPDX-License-Identifier: Apache-2.0
"""A page whose fields are all as the contract has them → its rows, column by column.

Nearly every page is such a page, and this takes a quarter of the time that :mod:`.flatten` takes, which reads any page.
The rows are the same: ``tests/core/document/test_plain_page.py`` holds that for all pages.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import isfinite
from typing import Any

from airflow_provider_aigen.core.models import Boxes, FieldRows
from airflow_provider_aigen.core.service.shapes import FIELD_MEMBERS

__all__ = ["plain_page"]

_OBJECT: frozenset[type] = frozenset({dict})
_LIST: frozenset[type] = frozenset({list})
_NUMBERS: frozenset[type] = frozenset({int, float})
_NUMBERS_OR_NULL: frozenset[type] = frozenset({int, float, type(None)})
_TEXT_OR_NULL: frozenset[type] = frozenset({str, type(None)})


def plain_page(number: int, page: Mapping[str, Any]) -> FieldRows | None:
    """The rows of a page of field objects that have just the four members: a text or null, a number from 0 to 1 or
    null, and boxes of points or null. None for any other page."""
    fields = page.values()
    if not _all_of(_OBJECT, fields) or any(field.keys() != FIELD_MEMBERS for field in fields):
        return None
    values = [field["value"] for field in fields]
    confidences = [field["confidence"] for field in fields]
    if not _all_of(_TEXT_OR_NULL, values) or not _all_of(_NUMBERS_OR_NULL, confidences):
        return None
    if not all(confidence is None or 0 <= confidence <= 1 for confidence in confidences):
        return None
    bboxes, bboxes_norm = (_boxes([field[name] for field in fields]) for name in ("bboxes", "bboxes_norm"))
    if bboxes is None or bboxes_norm is None:
        return None
    return FieldRows(
        (number,) * len(values),
        tuple(page),
        tuple(values),
        tuple(None if confidence is None else confidence + 0.0 for confidence in confidences),  # -0.0 becomes 0.0
        bboxes,
        bboxes_norm,
        (None,) * len(values),
    )


def _boxes(cells: Sequence[Any]) -> Boxes | None:
    """The column of these cells; None unless each of them is null or a list of boxes."""
    lists = [cell for cell in cells if cell is not None]
    if not _all_of(_LIST, lists):
        return None
    boxes = list(chain.from_iterable(lists))
    if not _all_of(_LIST, boxes) or not all(boxes):
        return None
    points = list(chain.from_iterable(boxes))
    if not _all_of(_LIST, points) or not {2}.issuperset(map(len, points)):
        return None
    coordinates = list(chain.from_iterable(points))
    try:
        # A sum is finite only where each of them is.
        if not _all_of(_NUMBERS, coordinates) or not isfinite(sum(coordinates)):
            return None
        return Boxes(
            array("i", [-1 if cell is None else len(cell) for cell in cells]),
            array("i", map(len, boxes)),
            array("d", coordinates),
        )
    except OverflowError:  # a whole number that no float is near to
        return None


def _all_of(types: frozenset[type], values: Iterable[Any]) -> bool:
    return types.issuperset(map(type, values))
