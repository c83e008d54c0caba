# SPDX-License-Identifier: Apache-2.0
"""What a run with nothing new costs after a long history, with the folded ledger and without it, side by side.

    python benchmarks/history.py [COMMITS DOCUMENTS_PER_COMMIT]

The store is in memory, so requests are counted, and the CPU time is that of this package. The source lists every
document of the history. Each kind runs in a process of its own, because peak memory never goes down.
"""

from __future__ import annotations

import asyncio
import hashlib
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_aigen.adapters.ledger import DiskLedger
from airflow_provider_aigen.adapters.state.codec import COMMIT
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.folding import Folding
from airflow_provider_aigen.core.models import CommitEntry, DocumentOutcome, Outcome, RunIdentity, SourceObject
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.pipeline import Stop, run
from airflow_provider_aigen.ports import Ports
from tests.kit.store import MemoryStore
from tests.kit.world import SETTINGS, World, ports_over

_SEEN = datetime(2026, 11, 22, tzinfo=UTC)
_AIGEN = "s3://lake/books/_aigen/"
_CASES = ((100_000, 1), (2_000, 500))
_NEVER = Folding(commits=10**9)


class Store(MemoryStore):
    """Its source is made up when it is listed: a million objects in memory would be measured too. ``inventing`` is how
    long that takes."""

    def __init__(self, documents: int) -> None:
        super().__init__()
        self._documents = documents
        self.inventing = 0.0

    async def list(self, bucket: str, prefix: str, *, after: str | None = None) -> AsyncIterator[SourceObject]:
        if bucket != "scans":
            async for one in super().list(bucket, prefix, after=after):
                yield one
            return
        for first in range(0, self._documents, 1000):
            start = time.process_time()
            page = [document(number) for number in range(first, min(first + 1000, self._documents))]
            self.inventing += time.process_time() - start
            for one in page:
                yield one


def document(number: int) -> SourceObject:
    """The same each time."""
    return SourceObject("scans", f"in/2026/11/{number:08d}.jpg", f"{number:032x}", 300_000, _SEEN)


def write_history(store: MemoryStore, commits: int, documents: int) -> None:
    """Commits with their marks, each of a run of its own that noted what it spent: one run per minute."""
    for number in range(1, commits + 1):
        first = (number - 1) * documents
        outcomes = tuple(
            DocumentOutcome(document(one), Outcome.EXTRACTED, f"{one:064x}", field_count=30, pages=1)
            for one in range(first, first + documents)
        )
        identity = RunIdentity("books", "ocr", f"before {number}")
        entry = CommitEntry(number, "writer", identity, 0, SETTINGS, outcomes, None, _SEEN)
        store.write(f"{_AIGEN}commits/{number:08d}.json.gz", COMMIT.to_gzip(entry))
        store.write(f"{_AIGEN}commits/{number:08d}.applied", b"")
        tries = f"{_AIGEN}tries/{(_SEEN - timedelta(minutes=commits - number)).date()}/{identity.run_key}"
        names = [f"{number}-writer/{nth}.json" for nth in range(2)]
        for name in names:
            store.write(f"{tries}/{name}", b"")
        mark = hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]
        store.write(f"{tries}/{mark}.row", b"")


def ports(store: MemoryStore, world: World) -> Ports:
    """Those of a task, with a ledger on disk."""
    others: dict[str, Any] = {"ocr": world.ocr, "limiter": world.limiter, "clock": world.clock}
    return ports_over(store, SETTINGS, new_ledger=DiskLedger, writer_id=str(time.time_ns()), **others)


async def nothing_new(store: MemoryStore, world: World, run_id: str, folding: Folding) -> None:
    """A whole run that finds nothing to do."""
    facts: dict[str, Any] = {"bucket": "scans", "prefix": "in/", "matches": lambda key: key.startswith("in/")}
    request = PlanRequest(RunIdentity("books", "ocr", run_id), SETTINGS, batch_size=500, folding=folding, **facts)
    report, _ = await run(request, ports(store, world), config=PipelineConfig(), stop=Stop())
    assert report.documents == 0


def measure(kind: str, commits: int, documents: int) -> None:
    """Print one line."""
    store, world = Store(commits * documents), World()
    write_history(store, commits, documents)
    folding = Folding() if kind == "folded" else _NEVER
    asyncio.run(nothing_new(store, world, "folds", folding))
    for commit in range(commits + 1, commits + 100):  # the most that are left behind the ledger
        one = CommitEntry(commit, "writer", RunIdentity("books", "ocr", "between"), 0, SETTINGS, (), None, _SEEN)
        store.write(f"{_AIGEN}commits/{commit:08d}.json.gz", COMMIT.to_gzip(one))
        store.write(f"{_AIGEN}commits/{commit:08d}.applied", b"")
    store.log.clear()
    store.inventing = 0.0
    began, peak = time.process_time(), _peak_mib()
    asyncio.run(nothing_new(store, world, "measured", folding))
    cpu = time.process_time() - began - store.inventing
    requests = Counter(verb for verb, _ in store.log)
    # A memory store lists 1,000 keys per request, as S3 does.
    print(
        f"{kind:8} {commits} commits of {documents}: {requests.total()} requests ({dict(requests)}), "
        f"{cpu:.2f} s CPU, {cpu / (commits * documents) * 1e6:.1f} µs per listed document, "
        f"peak {_peak_mib():.0f} MiB ({peak:.0f} before)",
        flush=True,
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Each kind in a process of its own."""
    if len(sys.argv) == 4:
        measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
        return
    cases = [(int(sys.argv[1]), int(sys.argv[2]))] if len(sys.argv) == 3 else _CASES
    for commits, documents in cases:
        for kind in ("folded", "commits"):
            subprocess.run([sys.executable, __file__, kind, str(commits), str(documents)], check=True)


if __name__ == "__main__":
    main()
