# SPDX-License-Identifier: Apache-2.0
"""Field rows → how often each field has a value, and with which confidence. A commit keeps these sums, so that they are
known of a run without its answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_provider_aigen.core.models import FieldRows

__all__ = ["EntryStatistics", "FieldStatistics", "FieldSums", "entry_statistics"]

# Field names come from outside: more of them than this are no fields of a form.
_MOST_FIELDS = 500


@dataclass(frozen=True, slots=True)
class FieldStatistics:
    """One field over some pages: on how many it has a value that is not blank, how many values have a confidence, and
    the sum of those."""

    field_name: str
    filled: int
    confidences: int
    confidence_sum: float


@dataclass(frozen=True, slots=True)
class EntryStatistics:
    """The rows that a commit takes: of how many pages they are, and each field of them, by name."""

    pages: int
    fields: tuple[FieldStatistics, ...] = ()


@dataclass(slots=True)
class _Sums:
    filled: int = 0
    confidences: int = 0
    confidence_sum: float = 0.0


class FieldSums:
    """Sums over pages, by field name."""

    def __init__(self) -> None:
        self.pages = 0
        self._fields: dict[str, _Sums] = {}

    def add_document(self, rows: FieldRows) -> None:
        """Add the rows of one document."""
        self.pages += len({*rows.page_numbers})
        for name, value, confidence in zip(rows.field_names, rows.values, rows.confidences, strict=True):
            sums = self._fields.get(name) or self._fields.setdefault(name, _Sums())
            sums.filled += value is not None and bool(value.strip())
            if confidence is not None:
                sums.confidences += 1
                sums.confidence_sum += confidence

    def add(self, statistics: EntryStatistics) -> None:
        """Add what a commit says."""
        self.pages += statistics.pages
        for field in statistics.fields:
            sums = self._fields.setdefault(field.field_name, _Sums())
            sums.filled += field.filled
            sums.confidences += field.confidences
            sums.confidence_sum += field.confidence_sum

    def statistics(self) -> EntryStatistics:
        """The sums, by name; of very many fields those that have a value most often."""
        often = sorted(self._fields.items(), key=lambda item: (-item[1].filled, item[0]))[:_MOST_FIELDS]
        return EntryStatistics(
            self.pages,
            tuple(
                FieldStatistics(name, sums.filled, sums.confidences, round(sums.confidence_sum, 6))
                for name, sums in sorted(often)
            ),
        )


def entry_statistics(documents: Iterable[FieldRows]) -> EntryStatistics:
    """Of documents that are committed together, each with its rows."""
    sums = FieldSums()
    for rows in documents:
        sums.add_document(rows)
    return sums.statistics()
