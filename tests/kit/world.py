# SPDX-License-Identifier: Apache-2.0
"""A whole run on fakes: objects in memory, an endpoint by script, a clock that the test moves.

State and dead letters are the real adapters over the memory store: the protocol is theirs as much as the pipeline's.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from airflow_provider_aigen.adapters.manifests.reader import S3Manifests
from airflow_provider_aigen.adapters.state.store import S3StateStore
from airflow_provider_aigen.adapters.tables.dead_letters import S3DeadLetters
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.models import DocumentOutcome, Outcome, OutputSettings, RunIdentity, RunReport
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.pipeline import Ports, Stop, run
from airflow_provider_aigen.ports import ObjectStore
from tests.kit.clock import FakeClock, WrongClock
from tests.kit.ledger import SetLedger
from tests.kit.limiter import EvenLimiter
from tests.kit.ocr import ScriptedOcr, png
from tests.kit.store import Buckets, MemoryStore
from tests.kit.tables import JsonTables, read_part

__all__ = ["SETTINGS", "World", "ports_over", "state_over"]

T = TypeVar("T")

SETTINGS = OutputSettings(
    document_type="vehicle-registration-book/v2",
    destination="s3://lake/books/",
    dead_letter="s3://lake/dead/",
    partition="dt=2026-11-22",
)


def state_over(store: ObjectStore, settings: OutputSettings) -> S3StateStore:
    """The state inside the destination."""
    return S3StateStore(store, S3Prefix.parse("state", f"{settings.destination}_aigen/"))


def ports_over(store: ObjectStore, settings: OutputSettings, **others: Any) -> Ports:
    """The real state and dead letters on this store, and quick tables and ledgers unless ``others`` has its own."""
    return Ports(
        source=store,
        state=state_over(store, settings),
        manifests=S3Manifests(store),
        dead_letters=S3DeadLetters(store, S3Prefix.parse("dead_letter", settings.dead_letter)),
        **{"tables": JsonTables(store), "new_ledger": SetLedger, "jitter": lambda: 0.5, **others},
    )


class World:
    """``scans`` and ``lake`` are the buckets. Every process that ``ports`` makes has a writer id of its own."""

    def __init__(self, clock: FakeClock | None = None) -> None:
        self.clock = clock or FakeClock()
        self.store = MemoryStore(Buckets(self.clock.now))
        self.ocr = ScriptedOcr(self.clock)
        self.limiter = EvenLimiter(self.clock)
        self.tables = JsonTables(self.store)
        self.state = state_over(self.store, SETTINGS)
        self.ledgers: list[SetLedger] = []
        self.stop = Stop()
        self.jitter = 0.5
        self._writers = itertools.count()

    def scan(self, *names: str) -> list[bytes]:
        """Put images there, each with its own bytes; returns them."""
        images = [png(name) for name in names]
        for name, image in zip(names, images, strict=True):
            self.store.write(f"s3://scans/in/{name}", image)
        return images

    def scans(self, count: int) -> list[bytes]:
        return self.scan(*(f"{number:04d}.png" for number in range(count)))

    def ports(self) -> Ports:
        def new_ledger() -> SetLedger:
            self.ledgers.append(SetLedger())
            return self.ledgers[-1]

        return ports_over(
            self.store,
            SETTINGS,
            ocr=self.ocr,
            limiter=self.limiter,
            clock=self.clock,
            tables=self.tables,
            new_ledger=new_ledger,
            writer_id=f"writer-{next(self._writers)}",
            jitter=lambda: self.jitter,
        )

    def request(self, run_id: str = "one", **changes: Any) -> PlanRequest:
        facts: dict[str, Any] = {
            "run": RunIdentity("books", "ocr", run_id),
            "settings": SETTINGS,
            "bucket": "scans",
            "prefix": "in/",
            "matches": lambda key: key.startswith("in/"),
            "batch_size": 4,
        }
        return PlanRequest(**facts | changes)

    async def run(
        self,
        run_id: str = "one",
        *,
        config: Mapping[str, Any] | None = None,
        ahead_s: float = 0.0,
        ports: Ports | None = None,
        price: Price | None = None,
        **changes: Any,
    ) -> RunReport:
        """One try of a task, whose clock is wrong by ``ahead_s``; raises what the pipeline raises."""
        self.stop = Stop()
        report, _ = await run(
            self.request(run_id, **changes),
            replace(ports or self.ports(), clock=WrongClock(self.clock, ahead_s)),
            config=PipelineConfig(**{"max_in_flight": 4, **(config or {})}),
            stop=self.stop,
            price=price,
        )
        return report

    def go(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end, letting as much time pass as it takes."""

        async def timed() -> T:
            return await self.clock.run(work)

        return asyncio.run(timed())

    @property
    def outcomes(self) -> dict[str, DocumentOutcome]:
        """What the documents table says, by key: the newest commit counts."""
        found: dict[str, DocumentOutcome] = {}
        for _, rows in sorted(self.tables.documents.items()):
            for outcome, _ in rows:
                before = found.get(outcome.document.key)
                again = outcome.retakes is not None or (before is not None and before.outcome is Outcome.GONE)
                assert before is None or again, "a document is there twice"
                found[outcome.document.key] = outcome
        return found

    def run_rows(self) -> dict[str, dict[str, Any]]:
        """The rows of ``runs``, by run id and map index."""
        rows = [row for uri in self.store.keys("s3://lake/books/runs/") for row in read_part(self.store.read(uri))]
        names = [row["run_id"] if row["map_index"] is None else f"{row['run_id']}[{row['map_index']}]" for row in rows]
        assert len({*names}) == len(names), "a run has two rows"
        return dict(zip(names, rows, strict=True))

    def said(self) -> dict[str, str]:
        """Outcome, or the code of a dead letter, by name."""
        return {
            key.removeprefix("in/"): outcome.error_code or outcome.outcome.value
            for key, outcome in self.outcomes.items()
        }
