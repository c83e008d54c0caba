# SPDX-License-Identifier: Apache-2.0
"""Listing and ledger → batches (design §3, Plan).

A plan may be made in several tries, by several processes at once: batches are create-only and numbered, so the
process that comes second reads what is there, leaves those documents out and goes on behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from airflow_provider_aigen.core.models import OutputSettings, Plan, PlanBatch, RunIdentity, SourceObject

__all__ = ["BatchBuilder", "PlanRequest", "is_folder"]


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The request for a plan. ``matches`` says of a key whether the source takes it; ``max_documents`` None means
    all."""

    run: RunIdentity
    settings: OutputSettings
    bucket: str
    prefix: str
    matches: Callable[[str], bool]
    batch_size: int
    max_documents: int | None = None


def is_folder(listed: SourceObject) -> bool:
    """Whether the object is the empty placeholder that consoles create for a folder."""
    return listed.size == 0 and listed.key.endswith("/")


@dataclass(slots=True)
class BatchBuilder:
    """A builder of batches: it is offered the listing and gives each batch when it is complete. ``number`` and
    ``documents`` count what the plan has already."""

    request: PlanRequest
    as_of: int
    number: int = 0
    documents: int = 0
    left_out: int = 0
    folders: int = 0
    _open: list[SourceObject] = field(default_factory=list)

    def full(self) -> bool:
        """Whether ``max_documents`` is reached: the rest of the listing need not be read."""
        limit = self.request.max_documents
        return limit is not None and self.documents + len(self._open) >= limit

    def offer(self, listed: SourceObject, taken: Callable[[str], bool]) -> PlanBatch | None:
        """Take the object unless it is a folder, outside the source, taken already or over ``max_documents``; return
        the batch that it completes."""
        if self.full() or not self.request.matches(listed.key):
            return None
        if is_folder(listed):
            self.folders += 1
            return None
        if taken(listed.document_id):
            self.left_out += 1
            return None
        self._open.append(listed)
        return self._close() if len(self._open) == self.request.batch_size else None

    def last(self) -> PlanBatch | None:
        """The incomplete batch at the end of the listing."""
        return self._close() if self._open else None

    def plan(self) -> Plan:
        """The plan's last object; ``documents`` of batches that other tries made do not count as done already."""
        return Plan(
            run=self.request.run,
            batches=self.number,
            documents=self.documents,
            as_of=self.as_of,
            # Under 0 where documents that an earlier try planned are not listed any more.
            already_done=max(0, self.left_out),
            folders=self.folders,
            settings=self.request.settings,
        )

    def _close(self) -> PlanBatch:
        batch = PlanBatch(self.request.run, self.number, self.as_of, self.request.settings, tuple(self._open))
        self.number += 1
        self.documents += len(self._open)
        self._open = []
        return batch
