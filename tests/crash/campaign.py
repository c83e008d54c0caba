# SPDX-License-Identifier: Apache-2.0
"""Many trials on one store, some at once; and their table."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path

from tests.crash.driver import Machine, Result, machine, run_trial
from tests.crash.proxy import network
from tests.crash.trial import KINDS, Trial
from tests.kit.servers.s3 import seaweedfs

__all__ = ["campaign", "table"]


def campaign(
    trials: Iterable[Trial], *, jobs: int, folder: Path | None = None, tell: Callable[[Result], None] = lambda _: None
) -> list[Result]:
    """Run them, ``jobs`` at a time, each with an endpoint of its own. Logs of the processes stay in ``folder``."""
    with ExitStack() as stack:
        home = folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aigen-crash-")))
        logs = home / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        s3 = stack.enter_context(seaweedfs(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aigen-s3-")))))
        for bucket in ("scans", "lake"):
            s3.client().create_bucket(Bucket=bucket)
        proxies = stack.enter_context(network())
        free = [stack.enter_context(machine(s3, proxies, logs)) for _ in range(jobs)]
        threads = stack.enter_context(ThreadPoolExecutor(jobs))
        running = [threads.submit(_on_a_free_one, trial, free) for trial in trials]
        results = []
        for done in as_completed(running):
            results.append(done.result())
            tell(results[-1])
        return results


_LOCK = threading.Lock()


def _on_a_free_one(trial: Trial, free: list[Machine]) -> Result:
    with _LOCK:
        there = free.pop()
    try:
        return run_trial(trial, there)
    finally:
        with _LOCK:
            free.append(there)


def table(results: list[Result]) -> Iterator[str]:
    """In Markdown: a line a kind, and one for all."""
    yield (
        "| trials | | documents | SIGKILL / TERM / STOP | network faults S3 / OCR | calls | paid again: mean | most | "
        "bound, mean | `service_error` | violations |"
    )
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    for kind in KINDS:
        if of_kind := [result for result in results if result.trial.kind == kind]:
            yield _line(kind, of_kind)
    yield _line("all", results)


def _line(name: str, results: list[Result]) -> str:
    signals: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    for result in results:
        signals.update(result.signals)
        for fault, times in result.faults.items():
            faults[fault.partition(" ")[0]] += times
    count = len(results)
    cells = (
        name,
        str(count),
        str(sum(result.documents for result in results)),
        f"{signals['SIGKILL']} / {signals['SIGTERM']} / {signals['SIGSTOP']}",
        f"{faults['s3']} / {faults['ocr']}",
        str(sum(result.calls for result in results)),
        f"{sum(result.paid_again for result in results) / count:.2f}",
        str(max(result.paid_again for result in results)),
        f"{sum(result.bound for result in results) / count:.1f}",
        str(sum(result.service_errors for result in results)),
        str(sum(len(result.violations) for result in results)),
    )
    return f"| {' | '.join(cells)} |"
