# SPDX-License-Identifier: Apache-2.0
"""The planned documents that their run has not committed, in 20 bytes per document: a plan may have a million."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from airflow_provider_aigen.core.folding import ID_BYTES
from airflow_provider_aigen.core.models import DocumentOutcome, Outcome
from airflow_provider_aigen.core.path_segments import path_segment

__all__ = ["Contribution", "MissingDocuments"]

# An id of 16 bytes, and the number of what is known of its document.
_RECORD = ID_BYTES + 4
_NOTHING = bytes(4)


class Contribution(NamedTuple):
    """The counts that one outcome adds to a report. ``code`` is a path segment; an outcome without an error has
    None."""

    outcome: Outcome
    rows: int
    code: str | None
    passing: bool
    healed: bool
    final: bool

    @classmethod
    def of(cls, outcome: DocumentOutcome) -> Contribution:
        """The one of this outcome. A document that was erased before it was read is gone, to the run that had planned
        it."""
        end, code, retaken = outcome.outcome, outcome.error_code, outcome.retakes is not None
        return cls(
            Outcome.GONE if end is Outcome.ERASED else end,
            outcome.field_count,
            None if code is None else path_segment(code),
            outcome.passing,
            retaken and outcome.adds_rows,
            retaken and end is Outcome.DEAD_LETTER and not outcome.passing,
        )


class MissingDocuments:
    """A set of document ids, each with what another run's commit said of it, or nothing yet.

    Ids of 32 hex digits are held as bytes, in 4,096 short rows by their first 12 bits. Any other text is held by its
    hash, and its name beside it. A document takes some two microseconds."""

    __slots__ = ("_contributions", "_count", "_names", "_numbers", "_rows")

    def __init__(self) -> None:
        self._rows: dict[int, bytearray] = {}
        self._names: dict[bytes, str] = {}
        self._count = 0
        # Few differ, so a document holds the number of one, from 1.
        self._contributions: list[Contribution] = []
        self._numbers: dict[Contribution, int] = {}

    def __len__(self) -> int:
        return self._count

    def __contains__(self, document_id: str) -> bool:
        return self._find(document_id)[2] >= 0

    def add(self, document_ids: Iterable[str]) -> None:
        """Add documents of which nothing is known; one that is there is forgotten and added again."""
        for document_id in document_ids:
            held, row, place = self._find(document_id)
            if place >= 0:
                row[place + ID_BYTES : place + _RECORD] = _NOTHING
                continue
            if not row:
                self._rows[_row_number(held)] = row
            row += held + _NOTHING
            self._count += 1
            if held.hex() != document_id:
                self._names[held] = document_id

    def remove(self, document_id: str) -> bool:
        """Remove a document; False where it is not there."""
        held, row, place = self._find(document_id)
        if place < 0:
            return False
        del row[place : place + _RECORD]
        self._names.pop(held, None)
        self._count -= 1
        return True

    def learn(self, outcome: DocumentOutcome) -> None:
        """Note what another run's commit says of a document, if it is there. An outcome other than gone stands over
        what was noted before."""
        _, row, place = self._find(outcome.document.document_id)
        if place < 0:
            return
        at = slice(place + ID_BYTES, place + _RECORD)
        if row[at] == _NOTHING or outcome.outcome is not Outcome.GONE:
            row[at] = self._number(Contribution.of(outcome)).to_bytes(4, "little")

    def unknown(self) -> Iterator[str]:
        """The ids of which nothing is known."""
        for held, number in self._records():
            if not number:
                yield self._names.get(held, held.hex())

    def contributions(self) -> Iterator[tuple[Contribution, int]]:
        """What is known of the documents, each with the number of documents that it is known of."""
        documents = Counter(number for _, number in self._records() if number)
        for number, count in documents.items():
            yield self._contributions[number - 1], count

    def clear(self) -> None:
        """Remove all."""
        self._rows.clear()
        self._names.clear()
        self._count = 0

    def _records(self) -> Iterator[tuple[bytes, int]]:
        for row in self._rows.values():
            for place in range(0, len(row), _RECORD):
                number = int.from_bytes(row[place + ID_BYTES : place + _RECORD], "little")
                yield bytes(row[place : place + ID_BYTES]), number

    def _find(self, document_id: str) -> tuple[bytes, bytearray, int]:
        """What stands for the id, its row, and where its record begins there: -1 where there is none."""
        held = _held(document_id)
        row = self._rows.get(_row_number(held))
        if row is None:
            return held, bytearray(), -1
        place = row.find(held)
        while place > 0 and place % _RECORD:  # it lies across two records
            place = row.find(held, place + 1)
        return held, row, place

    def _number(self, contribution: Contribution) -> int:
        number = self._numbers.get(contribution)
        if number is None:
            self._contributions.append(contribution)
            number = self._numbers[contribution] = len(self._contributions)
        return number


def _held(document_id: str) -> bytes:
    """The 16 bytes that stand for an id."""
    try:
        held = bytes.fromhex(document_id)
    except ValueError:
        held = b""
    if len(held) == ID_BYTES and held.hex() == document_id:  # capital letters and spaces are another id
        return held
    return hashlib.sha256(document_id.encode("utf-8", "surrogatepass")).digest()[:ID_BYTES]


def _row_number(held: bytes) -> int:
    return held[0] << 4 | held[1] >> 4
