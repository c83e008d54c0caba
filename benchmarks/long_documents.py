# SPDX-License-Identifier: Apache-2.0
"""How long the event loop stands, and how much memory a task takes, where each answer has many pages.

    python -m benchmarks.long_documents [--documents 500] [--pages 50]

A real S3 server, and an endpoint that answers at once with so many pages of 20 fields. The longest stands are printed
beside those of the same documents with one page: a loop that stands sends no sign of life and starts no call.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any
from unittest.mock import patch

from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.runtime.loop import LoopRunner
from benchmarks.documents import scans
from benchmarks.endpoint import endpoint
from benchmarks.rows import PROVIDER, ROWS, Job

_LOOK_S = 0.001


def watched(job: Job) -> tuple[list[float], float]:
    """Run the provider; how late the loop was each time it was looked at (seconds), and the peak of memory in MiB over
    what the process had before."""
    late: list[float] = []
    run = LoopRunner.run

    async def look() -> None:
        while True:
            due = time.monotonic() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            late.append(time.monotonic() - due)

    def run_watched(runner: LoopRunner, main: Callable[[Stop], Coroutine[Any, Any, Any]], stop: Stop) -> Any:
        async def both(stop: Stop) -> Any:
            looking = asyncio.create_task(look())
            try:
                return await main(stop)
            finally:
                looking.cancel()

        return run(runner, both, stop)

    peak = [_rss_mib()]
    base, over = peak[0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], _rss_mib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        with patch.object(LoopRunner, "run", run_watched):
            ROWS[PROVIDER](job)
    finally:
        over.set()
        watcher.join()
    return sorted(late, reverse=True), peak[0] - base


def _rss_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - fifty times a second
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def main() -> None:
    """Both in turns, in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--pages", type=int, default=50)
    chosen = parser.parse_args()
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    print(f"| {chosen.documents} documents | the loop's longest stands, ms | peak MiB over its start | s |")
    print("|---|--:|--:|--:|")
    with scans(chosen.documents, 60_000) as server:
        for pages in (1, chosen.pages):
            with endpoint(0, 0, pages=pages) as ocr:
                began_s = time.monotonic()
                late, peak = watched(Job(server.endpoint_url, ocr.url, chosen.documents))
                longest = ", ".join(f"{one * 1000:.0f}" for one in late[:8])
                print(f"| of {pages} pages | {longest} | {peak:.0f} | {time.monotonic() - began_s:.0f} |")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
