# SPDX-License-Identifier: Apache-2.0
"""Where what a run does is written or watched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date
from typing import Protocol

from airflow_provider_aigen.core.models import (
    ApiResponse,
    CallFailure,
    CommitEntry,
    DocumentOutcome,
    FieldRows,
    OutputSettings,
    Plan,
    Table,
)
from airflow_provider_aigen.core.runs import RunRow
from airflow_provider_aigen.core.upkeep.overview import RunFacts
from airflow_provider_aigen.core.upkeep.parts import Unit
from airflow_provider_aigen.core.upkeep.redrive import LetterRecord
from airflow_provider_aigen.ports.storage import StoredObject

__all__ = ["DeadLetters", "NoObserver", "Observer", "Tables"]


class Tables(Protocol):
    """The tables. Equal input gives equal bytes in equal places."""

    async def probe(self) -> None:
        """Raise ``ConfigurationError`` unless the destination can be written."""
        ...

    async def write(self, table: Table, entry: CommitEntry, rows: Sequence[tuple[DocumentOutcome, FieldRows]]) -> None:
        """Write the commit's part of ``table``; nothing where the part would have no row."""
        ...

    async def write_unit(
        self,
        table: Table,
        unit: Unit,
        parts: Sequence[tuple[CommitEntry, Sequence[tuple[DocumentOutcome, FieldRows]]]],
    ) -> None:
        """The same for commits that have one part together, in order: the rows of each, with its own settings."""
        ...

    def place(self, table: Table, unit: Unit, last: CommitEntry) -> tuple[str, str]:
        """Bucket and key of the part of ``unit``, whose last commit is ``last``."""
        ...

    async def prove_removal(self, settings: OutputSettings) -> None:
        """Raise ``ConfigurationError`` unless parts can be deleted."""
        ...

    async def names(self, table: Table, entry: CommitEntry) -> set[str]:
        """The names of the parts that lie where the commit's part of ``table`` does."""
        ...

    async def remove(self, table: Table, unit: Unit, last: CommitEntry) -> None:
        """Delete the part of ``unit``, whose last commit is ``last``; nothing happens where none is there."""
        ...

    def paths(self, table: Table, destination: str) -> AsyncIterator[str]:
        """The paths of all objects of ``table`` at a destination, in the table's folder."""
        ...

    async def remove_path(self, table: Table, destination: str, path: str) -> None:
        """Delete one of them; nothing happens where none is there."""
        ...

    async def runs(self, destination: str, *, since: date | None = None, most: int | None = None) -> list[RunFacts]:
        """The rows of the table ``runs``: of the days from ``since`` on, and of the last days only that have at least
        ``most`` of them together; in no order. A file that cannot be read is left out with a warning."""
        ...

    async def read_run(self, plan: Plan, day: date) -> StoredObject | None:
        """What is there of the run's row in ``runs``."""
        ...

    async def write_run(self, row: RunRow, there: StoredObject | None) -> None:
        """Write the run's row in place of what was ``there``. Raises ``AlreadyExists``, ``ObjectChanged`` or
        ``ObjectNotFound`` if that is no longer so."""
        ...


class DeadLetters(Protocol):
    """The dead-letter prefix. Each letter is a record and, if the settings say so, an image (design §4)."""

    async def probe(self) -> None:
        """Raise ``ConfigurationError`` unless the dead-letter prefix can be written."""
        ...

    async def codes(self) -> set[str]:
        """The error codes under which there are letters, as the prefix names them."""
        ...

    async def counts(self, settings: OutputSettings) -> Mapping[str, int]:
        """How many letters of these settings' destination there are, by error code: one listing."""
        ...

    def records(self, code: str) -> AsyncIterator[LetterRecord]:
        """The records of the letters with this code, in the order of their names, without those that say that they are
        resolved. Raises ``ConfigurationError`` for one that cannot be read."""
        ...

    async def write(self, entry: CommitEntry, outcome: DocumentOutcome) -> None:
        """Write record and, where ``settings.copy_image``, the image. Writing again changes nothing, nor does writing
        what a later commit has written."""
        ...

    def places(self, entry: CommitEntry, outcome: DocumentOutcome) -> list[tuple[str, str]]:
        """Bucket and key of the record that the entry gives this outcome, and of the image."""
        ...

    async def remove(self, entry: CommitEntry, outcome: DocumentOutcome, *, resolved_by: int) -> None:
        """Remove the letter that ``entry`` gave this outcome, which commit ``resolved_by`` resolved; where that is
        denied, its record says so. Nothing happens where it is not there, or is not this state's."""
        ...


class Observer(Protocol):
    """What is told how a run goes on, for metrics and lineage. No method waits or raises, because a run does not depend
    on being watched."""

    def called(self, result: ApiResponse | CallFailure) -> None:
        """A call was answered, or failed."""
        ...

    def waited(self, seconds: float) -> None:
        """A call waited so long for its turn."""
        ...

    def repeated(self) -> None:
        """A call that may have been billed is made again."""
        ...

    def reused(self) -> None:
        """A document was answered before, so no call is made for it."""
        ...

    def breaker_opened(self) -> None:
        """The service fails for everybody: no call begins for a while."""
        ...

    def committed(self, entry: CommitEntry) -> None:
        """This process wrote the commit, effects and all."""
        ...

    def progress(self, *, waiting: int, rate: float, allowed: float) -> None:
        """Where the run stands: planned documents without an outcome, calls per second, and how many the limiter allows
        at present (infinite where it does not know)."""
        ...


class NoObserver:
    """An observer that ignores everything, for runs that nobody watches, and a base for one that watches little."""

    def called(self, result: ApiResponse | CallFailure) -> None: ...

    def waited(self, seconds: float) -> None: ...

    def repeated(self) -> None: ...

    def reused(self) -> None: ...

    def breaker_opened(self) -> None: ...

    def committed(self, entry: CommitEntry) -> None: ...

    def progress(self, *, waiting: int, rate: float, allowed: float) -> None: ...
