# SPDX-License-Identifier: Apache-2.0
"""A run that was cleared with another ``min_confidence``: what that changes, and what it does not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from airflow_provider_aigen.core.folding import Segment
from airflow_provider_aigen.core.models import CommitEntry, OutputSettings, RunIdentity

__all__ = ["ClearedRun"]


@dataclass(slots=True)
class ClearedRun:
    """Fed with the commits of a destination, it counts the documents that ``run`` committed under other limits."""

    run: RunIdentity
    settings: OutputSettings
    _committed: Counter[float | None] = field(default_factory=Counter)

    def see(self, entry: CommitEntry) -> None:
        """Learn of a commit."""
        before = entry.settings.min_confidence
        if before != self.settings.min_confidence and entry.run.task_key == self.run.task_key:
            self._committed[before] += sum(outcome.has_rows for outcome in entry.outcomes)

    def see_segment(self, segment: Segment) -> None:
        """Learn of the commits of a segment."""
        for limit, documents in segment.with_rows.get(self.run.task_key, {}).items():
            if limit != str(self.settings.min_confidence):
                self._committed[None if limit == "None" else float(limit)] += documents

    def text(self) -> str | None:
        """A sentence for the log; None where there is nothing to say."""
        if not (documents := self._committed.total()):
            return None
        limits = ", ".join(map(str, sorted(self._committed, key=lambda limit: -1 if limit is None else limit)))
        return (
            f"This run had min_confidence {limits} before, and has {self.settings.min_confidence} now. The {documents} "
            "documents that it has committed keep their rows and their needs_review as they are; the new limit holds "
            "for the documents that it commits from now on"
        )
