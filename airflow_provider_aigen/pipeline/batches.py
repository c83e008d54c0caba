# SPDX-License-Identifier: Apache-2.0
"""Batches on their way: which documents still wait for an outcome, what can be committed, how much is held.

Rows do not wait for documents that fail: a batch is committed when only those are missing. What becomes of them follows
in entries of their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from airflow_provider_aigen.core.models import DocumentOutcome, FieldRows, PlanBatch
from airflow_provider_aigen.pipeline.work import FinishedDocument, Work

__all__ = ["OpenBatches", "Part"]

# Outcomes of documents that had failed are committed together, up to so many.
_LATE_TOGETHER = 100
# What is read of long documents does not wait for its whole batch: so many rows take some 30 MB, and are built into
# columns within a second.
_ROWS_TOGETHER = 20_000
# New documents wait while so many rows wait for their commit.
_MOST_ROWS = 2 * _ROWS_TOGETHER


@dataclass(slots=True)
class Part:
    """What is committed of a batch at once: outcomes by document id, field rows by the SHA-256 of their content."""

    batch: PlanBatch
    outcomes: dict[str, DocumentOutcome] = field(default_factory=dict)
    rows: dict[str, FieldRows] = field(default_factory=dict)
    row_count: int = 0


@dataclass(slots=True)
class _OpenBatch:
    """``waiting`` are ids without an outcome that do not fail, ``failing`` those that do. ``first``: those that do not
    fail were not all given to be committed yet."""

    part: Part
    waiting: set[str]
    failing: set[str] = field(default_factory=set)
    first: bool = True


class OpenBatches:
    """Everything between the plan and the commits of one try. ``complete`` gives what can be committed, then None after
    :meth:`finish`. ``on_end`` is told each outcome, ``moved`` is called whenever there may be room again."""

    def __init__(self, ahead: int, on_end: Callable[[DocumentOutcome], None], moved: Callable[[], None]) -> None:
        self._ahead = ahead
        self._on_end = on_end
        self._moved = moved
        self._open: dict[str, _OpenBatch] = {}
        self._held = 0
        self._largest = 0
        self._rows = 0
        self._given = 0
        self.complete: asyncio.Queue[Part | None] = asyncio.Queue()

    def has_room(self, count: int) -> bool:
        """Whether ``count`` more documents may be opened: the open ones, without those that fail, are at most one batch
        (the largest so far) and ``ahead``."""
        return self._held <= max(count, self._largest) + self._ahead

    @property
    def is_full(self) -> bool:
        """Whether so many rows wait for their commit that no document is to be begun."""
        return self._rows > _MOST_ROWS

    @property
    def waits_for_commits(self) -> bool:
        """Whether parts were given whose commit will make room."""
        return self._given > 0

    def open(self, batch: PlanBatch, works: Sequence[Work]) -> None:
        """Open ``batch`` for those of its documents that nobody took yet."""
        opened = _OpenBatch(Part(batch), {work.document_id for work in works})
        self._open |= dict.fromkeys(opened.waiting, opened)
        self._held += len(works)
        self._largest = max(self._largest, len(works))

    def end(self, finished: FinishedDocument) -> None:
        """Note a document's outcome."""
        outcome = finished.outcome
        document_id = outcome.document.document_id
        part = self._open[document_id].part
        part.outcomes[document_id] = outcome
        if finished.reading is not None:
            # Only the rows: a parsed answer takes several times their memory.
            content_sha256, rows = finished.reading.kept.content_sha256, finished.reading.rows
            if content_sha256 not in part.rows:
                part.rows[content_sha256] = rows
                part.row_count += len(rows)
                self._rows += len(rows)
        self._on_end(outcome)
        self._leave(document_id, held=True)

    def drop(self, document_id: str) -> None:
        """Wait no longer for the document: another run's commit took it."""
        self._leave(document_id, held=False)

    def fail(self, document_id: str) -> None:
        """The document fails; others do not wait for it."""
        opened = self._open[document_id]
        if document_id in opened.waiting:
            opened.waiting.discard(document_id)
            opened.failing.add(document_id)
            self._held -= 1
            self._give(opened)

    def committed(self, part: Part) -> None:
        """Make room."""
        self._given -= 1
        self._held -= len(part.outcomes)
        self._rows -= part.row_count
        self._moved()

    def flush_late(self) -> None:
        """Give the outcomes that would only wait for more of them."""
        for opened in self._open_ones():
            self._give(opened, all_of_it=not opened.waiting)

    def flush(self) -> None:
        """Give all that has an outcome by now."""
        for opened in self._open_ones():
            self._give(opened, all_of_it=True)

    def finish(self) -> None:
        """Give all that has an outcome; nothing follows."""
        self.flush()
        self.complete.put_nowait(None)

    def _open_ones(self) -> list[_OpenBatch]:
        return list({id(one): one for one in self._open.values()}.values())

    def _leave(self, document_id: str, *, held: bool) -> None:
        opened = self._open.pop(document_id)
        was_held = document_id in opened.waiting
        opened.waiting.discard(document_id)
        opened.failing.discard(document_id)
        self._held += held - was_held
        self._give(opened)

    def _give(self, opened: _OpenBatch, *, all_of_it: bool = False) -> None:
        outcomes = opened.part.outcomes
        late = opened.first or not opened.failing or len(outcomes) >= _LATE_TOGETHER
        many = opened.part.row_count >= _ROWS_TOGETHER
        if outcomes and (all_of_it or many or (not opened.waiting and late)):
            part, opened.part = opened.part, Part(opened.part.batch)
            opened.first &= bool(opened.waiting)
            self._given += 1
            self.complete.put_nowait(part)
        self._moved()
