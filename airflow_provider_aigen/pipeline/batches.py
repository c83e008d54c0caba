# SPDX-License-Identifier: Apache-2.0
"""Batches on their way: which documents still wait for an outcome, which batch is complete, how much is held."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from airflow_provider_aigen.core.models import DocumentOutcome, FieldRow, PlanBatch, SourceObject
from airflow_provider_aigen.pipeline.documents import FinishedDocument

__all__ = ["OpenBatch", "OpenBatches"]


@dataclass(slots=True)
class OpenBatch:
    """A batch whose documents are under way. ``waiting`` are the ids without an outcome yet; ``rows`` are those of the
    answers at hand, by the SHA-256 of their content. Of a reading nothing else is held until the commit: the parsed
    answer would take several times the memory."""

    batch: PlanBatch
    size: int
    waiting: set[str]
    outcomes: dict[str, DocumentOutcome] = field(default_factory=dict)
    rows: dict[str, tuple[FieldRow, ...]] = field(default_factory=dict)


class OpenBatches:
    """The open batches of one try, between the plan and the commits. ``complete`` gives the complete batches, then None
    after :meth:`finish`; ``moved`` is set whenever there may be room again. ``on_end`` is told each outcome."""

    def __init__(self, ahead: int, on_end: Callable[[DocumentOutcome], None]) -> None:
        self._ahead = ahead
        self._on_end = on_end
        self._documents = 0
        self.complete: asyncio.Queue[OpenBatch | None] = asyncio.Queue()
        self.moved = asyncio.Event()

    def has_room(self, count: int) -> bool:
        """Whether ``count`` more documents may be opened: the open ones are at most one such batch and ``ahead``."""
        return self._documents <= count + self._ahead

    def open(self, batch: PlanBatch, documents: Sequence[SourceObject]) -> OpenBatch:
        """Open ``batch`` for those of its documents that nobody took yet."""
        self._documents += len(documents)
        return OpenBatch(batch, len(documents), {document.document_id for document in documents})

    def end(self, opened: OpenBatch, finished: FinishedDocument) -> None:
        """Note a document's outcome."""
        document_id = finished.outcome.document.document_id
        opened.outcomes[document_id] = finished.outcome
        if finished.reading is not None:
            opened.rows[finished.reading.kept.content_sha256] = finished.reading.rows
        self._on_end(finished.outcome)
        self.drop(opened, document_id)

    def drop(self, opened: OpenBatch, document_id: str) -> None:
        """Wait no longer for the document: it has its outcome, or another run's commit took it."""
        opened.waiting.discard(document_id)
        if not opened.waiting:
            self.complete.put_nowait(opened)

    def committed(self, opened: OpenBatch) -> None:
        """Make room."""
        self._documents -= opened.size
        self.moved.set()

    def finish(self) -> None:
        """No batch will be complete any more."""
        self.complete.put_nowait(None)
