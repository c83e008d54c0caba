# SPDX-License-Identifier: Apache-2.0
"""The field rows of an answer as columns: part of :mod:`~airflow_provider_aigen.core.models`, which names what flows in
order and exports these too.

A run holds some ten thousand rows until their commit, most of them with two boxes of four points. As columns they are a
few objects per answer, where rows of tuples would be three hundred: they take a quarter of the memory, garbage
collection has nothing to look at, and a table's column is a concatenation.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

__all__ = ["NO_ROWS", "Box", "Boxes", "FieldRow", "FieldRows", "Point"]

Point = tuple[float, float]
Box = tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field on one page, as in the ``fields`` table (design §4) without the columns of its document, and without
    ``needs_review``, which depends on the settings of the commit. ``extra`` is JSON text."""

    page_number: int
    field_name: str
    value: str | None = field(repr=False)
    confidence: float | None
    bboxes: tuple[Box, ...] | None = None
    bboxes_norm: tuple[Box, ...] | None = None
    extra: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Boxes:
    """A column of boxes: how many each row has (-1: null), how many points each box has, and the coordinates of the
    points, ``x, y, x, y …``."""

    boxes: array[int] = field(default_factory=lambda: array("i"))
    points: array[int] = field(default_factory=lambda: array("i"))
    coordinates: array[float] = field(default_factory=lambda: array("d"))

    @classmethod
    def of(cls, cells: Iterable[Sequence[Box] | None]) -> Boxes:
        """The column that has these cells."""
        column = cls()
        for cell in cells:
            column.boxes.append(-1 if cell is None else len(cell))
            column.points.extend(map(len, cell or ()))
            column.coordinates.extend(chain.from_iterable(chain.from_iterable(cell or ())))
        return column

    @classmethod
    def joined(cls, parts: Iterable[Boxes]) -> Boxes:
        """The cells of all of them, one after the other."""
        column = cls()
        for part in parts:
            column.boxes.extend(part.boxes)
            column.points.extend(part.points)
            column.coordinates.extend(part.coordinates)
        return column

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[tuple[Box, ...] | None]:
        sizes, coordinates = iter(self.points), iter(self.coordinates)
        points = zip(coordinates, coordinates, strict=True)
        for count in self.boxes:
            yield None if count < 0 else tuple(tuple(next(points) for _ in range(next(sizes))) for _ in range(count))


@dataclass(frozen=True, slots=True)
class FieldRows:
    """Rows of one answer, in order. Each column has one entry per row; iteration gives the rows themselves."""

    page_numbers: tuple[int, ...] = ()
    field_names: tuple[str, ...] = ()
    values: tuple[str | None, ...] = field(repr=False, default=())
    confidences: tuple[float | None, ...] = ()
    bboxes: Boxes = field(default_factory=Boxes)
    bboxes_norm: Boxes = field(default_factory=Boxes)
    extras: tuple[str | None, ...] = field(repr=False, default=())

    @classmethod
    def of(cls, rows: Iterable[FieldRow]) -> FieldRows:
        """The columns of these rows."""
        listed = list(rows)
        return cls(
            tuple(row.page_number for row in listed),
            tuple(row.field_name for row in listed),
            tuple(row.value for row in listed),
            tuple(row.confidence for row in listed),
            Boxes.of(row.bboxes for row in listed),
            Boxes.of(row.bboxes_norm for row in listed),
            tuple(row.extra for row in listed),
        )

    @classmethod
    def joined(cls, parts: Sequence[FieldRows]) -> FieldRows:
        """The rows of all of them, one after the other."""

        def column(name: str) -> tuple[Any, ...]:
            return tuple(chain.from_iterable(getattr(part, name) for part in parts))

        return cls(
            column("page_numbers"),
            column("field_names"),
            column("values"),
            column("confidences"),
            Boxes.joined([part.bboxes for part in parts]),
            Boxes.joined([part.bboxes_norm for part in parts]),
            column("extras"),
        )

    def of_pages(self, pages: Collection[int]) -> FieldRows:
        """Those of some pages."""
        return FieldRows.of(row for row in self if row.page_number in pages)

    def __len__(self) -> int:
        return len(self.page_numbers)

    def __iter__(self) -> Iterator[FieldRow]:
        columns = (self.page_numbers, self.field_names, self.values, self.confidences)
        yield from map(FieldRow, *columns, self.bboxes, self.bboxes_norm, self.extras)


NO_ROWS = FieldRows()
