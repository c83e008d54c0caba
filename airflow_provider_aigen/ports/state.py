# SPDX-License-Identifier: Apache-2.0
"""The state of a destination."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol

from airflow_provider_aigen.core.announcing import Announced
from airflow_provider_aigen.core.folding import Segment, Span
from airflow_provider_aigen.core.models import (
    Claim,
    CommitEntry,
    KeptAnswer,
    OutputSettings,
    Plan,
    PlanBatch,
    RunReport,
)
from airflow_provider_aigen.core.spend_records import SpendRecord
from airflow_provider_aigen.core.upkeep.parts import Rebuild

__all__ = ["LATER_ID", "Ledger", "RunsToWrite", "StateStore", "StoredSpend"]

LATER_ID = "~"
"""Between the first id of a writer and the number of a later one: ``<id>~2`` is the same process as ``<id>``."""


@dataclass(frozen=True, slots=True)
class StoredSpend:
    """The spend records of one run, each writer's in order. ``mark`` stands for exactly these; ``ended``: every process
    that wrote one has ended, as far as anybody can know."""

    records: tuple[SpendRecord, ...]
    mark: str
    ended: bool


@dataclass(frozen=True, slots=True)
class RunsToWrite:
    """The folders of runs whose row in the table ``runs`` lacks spend records. ``now``: when the newest record of any
    run was written, by the store's clock. ``all_days``: runs of all days were looked at, not those of the last days."""

    folders: tuple[str, ...]
    now: datetime | None
    all_days: bool


class Ledger(Protocol):
    """The ids of the documents that commits have taken. A destination may have seen so many that no set in memory holds
    them."""

    def add(self, document_ids: Sequence[str]) -> None: ...

    def add_sorted(self, ids: bytes) -> None:
        """Add ids that are sorted, 16 bytes each."""
        ...

    def __contains__(self, document_id: str) -> bool: ...


class StateStore(Protocol):
    """The create-only objects of design §3, under one state prefix."""

    async def probe(self) -> None:
        """Raise ``ConfigurationError`` unless the store refuses a second create of the same key, and a write with
        another object's ``If-Match``."""
        ...

    async def own(self, settings: OutputSettings) -> tuple[str, OutputSettings]:
        """Make this state the one of the settings' destination, or see that it is. Returns the state's id, and the
        settings with the suffix of the dead letters' names. Raises ``ConfigurationError`` where the destination has
        another state, or partitions of another shape."""
        ...

    async def identify(self, destination: str) -> str | None:
        """The id of this state, which is that of the destination; None where version 0.1 wrote both. Nothing is
        written. Raises ``ConfigurationError`` where the destination has another state, or none."""
        ...

    async def read_plan(self, run_key: str) -> Plan | None: ...

    async def create_plan(self, plan: Plan) -> Plan:
        """Create, or return the one that is there."""
        ...

    async def read_batch(self, run_key: str, number: int) -> PlanBatch | None: ...

    async def create_batch(self, batch: PlanBatch) -> bool:
        """False where the batch is there already (it may differ)."""
        ...

    async def read_answer(self, document_type: str, content_sha256: str) -> KeptAnswer | None: ...

    async def keep_answer(self, answer: KeptAnswer) -> KeptAnswer:
        """Create, or return the one that is there: the first answer stands. This, reading answers and claims raise
        ``DamagedState`` for an object that cannot be read."""
        ...

    async def beat(self, writer_id: str) -> None:
        """Say that this writer is alive: its claims end when it has not for 30 s."""
        ...

    async def remove_old_writers(self) -> None:
        """Remove what writers left that have long been gone."""
        ...

    async def create_claim(self, wanted: Claim) -> bool:
        """Create the claim. False where these bytes were claimed before: then an answer may be kept."""
        ...

    async def claim(self, wanted: Claim) -> tuple[Claim, bool]:
        """Create the claim, find the writer's own, or take over one that nobody holds. Returns the claim that stands
        and whether it is the first on these bytes: where it is not, an answer may have been kept meanwhile."""
        ...

    async def beats(self) -> Mapping[str, datetime]:
        """When each writer was last alive, by the store's clock."""
        ...

    async def is_held(self, claim: Claim, writer_id: str, beats: Mapping[str, datetime]) -> bool:
        """Whether another writer than ``writer_id`` holds the bytes of ``claim``, judged by ``beats``."""
        ...

    async def release(self, claim: Claim) -> None:
        """End the writer's claim on these bytes, so that nobody waits for it, and note the tries that ``claim`` counts.
        Nothing happens where it is another's."""
        ...

    async def read_commit(self, number: int) -> CommitEntry | None: ...

    async def create_commit(self, entry: CommitEntry) -> bool:
        """False where that number is taken, perhaps by this very entry (a lost acknowledgement)."""
        ...

    def commits_after(self, number: int) -> AsyncIterator[CommitEntry]:
        """Commits ``number + 1``, ``number + 2``, … in order, up to the newest: one listing and a request for each."""
        ...

    async def segments(self) -> Mapping[Span, int]:
        """The spans of all segments of the folded ledger, with their sizes in bytes."""
        ...

    async def read_segment(self, span: Span) -> Segment | None:
        """None where it is missing, or cannot be read."""
        ...

    async def create_segment(self, segment: Segment) -> None:
        """Create it. One that is there says the same, and is replaced only if it is damaged."""
        ...

    async def unapplied_commits(self, after: int | None = None) -> Sequence[int]:
        """Numbers of the commits whose effects are not known to be complete, in order; with ``after`` only those behind
        that commit, with one request less."""
        ...

    async def mark_applied(self, number: int) -> None: ...

    async def rebuilds_after(self, number: int) -> Sequence[Rebuild]:
        """Rebuilds ``number + 1``, … in order: one listing and a request for each."""
        ...

    async def create_rebuild(self, rebuild: Rebuild) -> bool:
        """False where that number is taken, perhaps by this very rebuild (a lost acknowledgement)."""
        ...

    async def rebuilt(self, number: int) -> int | None:
        """The commit up to which rebuild ``number`` is done, 0 if none is; None: it is done as a whole."""
        ...

    async def note_rebuilt(self, number: int, commit: int | None) -> None:
        """Say that rebuild ``number`` is done up to ``commit``; None: as a whole."""
        ...

    async def erase_in_plans(self, document_ids: Collection[str]) -> int:
        """Take the documents out of every plan. Returns how many batches named one of them."""
        ...

    async def erase_in_commit(self, number: int, document_ids: Collection[str]) -> None:
        """Leave only the ids of these documents in the commit, and what came of them."""
        ...

    def rewritten_places(self) -> list[tuple[str, str]]:
        """Bucket and prefix of what an erasure writes again."""
        ...

    def content_places(self, document_type: str, content_sha256: str) -> list[tuple[str, str]]:
        """Bucket and prefix of the answers about these bytes, then of their claims."""
        ...

    async def write_report(self, report: RunReport) -> str:
        """Write or replace the run's report; returns its URI."""
        ...

    async def read_announced(self) -> tuple[Announced, str] | None:
        """Which commits events have announced, and the version of that; None where nothing says so."""
        ...

    async def write_announced(self, announced: Announced, version: str | None) -> bool:
        """Replace that version, or create it where it is None. False where another process wrote it meanwhile."""
        ...

    async def note_spend(self, folder: str, record: SpendRecord) -> None:
        """Create the record in the run's folder (``core.spend_records.spend_folder``). Writing the same one again
        changes nothing."""
        ...

    async def read_spend(self, folder: str, now: datetime | None = None) -> StoredSpend:
        """All records of a run. ``now`` is the store's time, if more is known than the records say."""
        ...

    async def runs_to_write(self, today: date) -> RunsToWrite:
        """The runs whose row has to be written, the one that waits longest first: of the last days, and once ``today``
        of all days."""
        ...

    async def mark_row(self, folder: str, mark: str) -> None:
        """Say that the run's row is written for the records that ``mark`` stands for, and that they are all."""
        ...

    async def mark_looked(self, today: date) -> None:
        """Say that no run of any day waited when a plan looked ``today``."""
        ...
