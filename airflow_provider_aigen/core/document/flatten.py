# SPDX-License-Identifier: Apache-2.0
"""Answer → field rows, in the order of the wire (design §4, ``fields``).

Nothing here knows a field's name. A page's fields are FieldObjects of the contract; other documents of the vendor may
nest them, which gives paths: ``owner.name``, ``seats[0].number``. What the contract does not foresee becomes text or
null, never an error: the answer is paid. Nothing is lost: every value of a page stands in exactly one row, and what a
row has no column for stands in its ``extra``.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any

from airflow_provider_aigen.core.document.plain_page import plain_page
from airflow_provider_aigen.core.models import Answer, Box, FieldRow, FieldRows, Point
from airflow_provider_aigen.core.service.shapes import has_field, is_field

__all__ = ["flatten", "needs_review", "span"]

# Stricter than float(), which takes "nan", "1_0" and digits of other scripts.
_NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
# What a path is made of.
_SYNTAX = re.compile(r'[.\[\]"]')

_Path = tuple[str | int, ...]
_Members = Mapping[str, Any]


def flatten(answer: Answer) -> FieldRows:
    """One row for each field on each page. A field is a FieldObject, a scalar or null, or an empty object or list.
    No two fields of a page have the same name."""
    parts = [plain_page(number, page) or _page(number, page) for number, page in enumerate(answer.pages, start=1)]
    return parts[0] if len(parts) == 1 else FieldRows.joined(parts)


def needs_review(confidence: float | None, min_confidence: float | None) -> bool:
    """Whether a field's confidence is null or under ``min_confidence``; without a limit no field needs review."""
    return min_confidence is not None and (confidence is None or confidence < min_confidence)


def span(confidences: Iterable[float | None]) -> tuple[float, float] | None:
    """The least and the mean of the confidences that are known; None where none is."""
    known = [confidence for confidence in confidences if confidence is not None]
    return (min(known), math.fsum(known) / len(known)) if known else None


def _page(number: int, page: _Members) -> FieldRows:
    """The rows of any page."""
    found = [field for key, value in page.items() for field in _fields((key,), value)]
    names = _names([path for path, _, _ in found])
    return FieldRows.of(_row(number, name, own, extra) for name, (_, own, extra) in zip(names, found, strict=True))


def _fields(path: _Path, value: Any) -> Iterator[tuple[_Path, _Members, _Members]]:
    """(path, members that have a column, other members) of every field at or under ``value``; depth is bounded by
    ``core.service.wire``."""
    if isinstance(value, Mapping) and value:
        yield from _object(path, value)
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _fields((*path, index), item)
    else:
        # An empty object or list is a field without a value: it was there, so it has a row.
        yield path, {"value": None if isinstance(value, (Mapping, list)) else value}, {}


def _object(path: _Path, value: _Members) -> Iterator[tuple[_Path, _Members, _Members]]:
    """A field object, and the fields inside it and beside its members; or a group of fields, one of which may be called
    ``value``."""
    own: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    inside: list[str] = []
    if is_field(value):
        for name, member in value.items():
            if (read := _READERS.get(name)) is not None and (known := read(member)) is not None:
                own[name] = known
            elif isinstance(member, (Mapping, list)) and has_field(member):
                inside.append(name)
            elif name == "value":
                own[name] = member
            elif name in _READERS:
                own[name] = None
                if member is not None:
                    extra[name] = member  # of no use as what it is called, such as a confidence of -1.0
            else:
                extra[name] = member
    if own:
        yield path, own, extra
    for name in inside if own else value:
        yield from _fields((*path, name), value[name])


def _names(paths: Sequence[_Path]) -> list[str]:
    """A name for each path, no two the same: ``a.b[0]``. Only where that means two of them, those with a key that has
    a dot, a bracket or a quote in it, or is empty, are written so that the key shows: ``["a.b"][0]``."""
    names = [_name(path) for path in paths]
    while len(set(names)) < len(names):
        counts = Counter(names)
        names = [name if counts[name] == 1 else _exact_name(path) for name, path in zip(names, paths, strict=True)]
    return names


def _name(path: _Path) -> str:
    if len(path) == 1:
        return str(path[0])
    name, *rest = path
    return f"{name}{''.join(f'[{step}]' if isinstance(step, int) else f'.{step}' for step in rest)}"


def _exact_name(path: _Path) -> str:
    steps = (
        f"[{json.dumps(step, ensure_ascii=False)}]"
        if isinstance(step, int) or not step or _SYNTAX.search(step)
        else f".{step}"
        for step in path
    )
    return "".join(steps).removeprefix(".")


def _row(page_number: int, name: str, own: _Members, extra: _Members) -> FieldRow:
    return FieldRow(
        page_number=page_number,
        field_name=name,
        value=_text(own.get("value")),
        confidence=own.get("confidence"),
        bboxes=own.get("bboxes"),
        bboxes_norm=own.get("bboxes_norm"),
        extra=_json(extra) if extra else None,
    )


def _json(value: Any) -> str:
    """``value`` as JSON, which has no NaN and no infinity: they become text."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), ensure_ascii=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not isfinite(value):
        return repr(value)
    if isinstance(value, Mapping):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value


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
    boxes: list[Box] = []
    for item in value:
        if (box := _box(item)) is None:
            return None
        boxes.append(box)
    return tuple(boxes)


def _box(value: Any) -> Box | None:
    if not isinstance(value, list) or not value:
        return None
    points: list[Point] = []
    for item in value:
        if not isinstance(item, list) or len(item) != 2:
            return None
        x, y = map(_coordinate, item)
        if x is None or y is None:
            return None
        points.append((x, y))
    return tuple(points)


def _coordinate(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if isfinite(number) else None


# Members of a field object that have a column, and how they are read: None where they are of no use.
_READERS: Mapping[str, Any] = {"confidence": _confidence, "bboxes": _boxes, "bboxes_norm": _boxes}
