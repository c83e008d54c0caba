# SPDX-License-Identifier: Apache-2.0
"""Where the provider's processor time goes: ``python -m benchmarks.where [--documents 500] [--top 40]``.

One task of the benchmark's provider with an endpoint that answers at once. First without a profiler: the time of the
event loop's thread, of other threads, and of obstore's threads, which are Rust. Then with one: the shares of the parts
of the event loop's thread. A function of the standard library or of an extension counts for the part that called it. A
profiler makes many short calls dearer than they are, so shares are shown and no milliseconds. ``--top`` shows
functions.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import pstats
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.documents import WARM_UP, scans
from benchmarks.endpoint import endpoint
from benchmarks.rows import Job, provider
from tests.kit.servers.process import ROOT, environment

Function = tuple[str, int, str]

# The first that is in a function's file names its part.
_PARTS = (
    ("/asyncio/", "event loop"),
    ("/selectors.py", "event loop"),
    ("aigen/core/document/", "answer"),
    ("aigen/core/records/", "answer"),
    ("aigen/core/service/", "answer"),
    ("aigen/core/answers", "answer"),
    ("aigen/core/quality", "answer"),
    ("aigen/adapters/endpoint/", "HTTP client and body"),
    ("/aiohttp/", "HTTP client and body"),
    ("/httpx/", "HTTP client and body"),
    ("/httpcore/", "HTTP client and body"),
    ("aigen/adapters/s3/", "S3 client, its part in Python"),
    ("/obstore/", "S3 client, its part in Python"),
    ("aigen/adapters/state/", "claims, answers, commits"),
    ("aigen/adapters/ledger", "claims, answers, commits"),
    ("aigen/adapters/tables/", "tables"),
    ("aigen/adapters/limits/", "pace"),
    ("aigen/core/models", "identity of documents"),
    ("aigen/pipeline/", "pipeline"),
    ("airflow_provider_aigen/", "other code of the provider"),
    ("/airflow/", "Airflow: connections, log, metrics"),
    ("/boto", "boto3: credentials, listing"),
)


def parts(stats: dict[Function, Any]) -> Counter[str]:
    """Seconds of each part. ``stats`` are those of ``pstats``."""

    @cache
    def shares(function: Function, depth: int) -> tuple[tuple[str, float], ...]:
        """Whose a function's own time is; they add up to 1."""
        for text, part in _PARTS:
            if text in function[0]:
                return ((part, 1.0),)
        callers = {caller: figures[2] for caller, figures in stats[function][4].items()}
        whole = sum(callers.values())
        if not whole or depth > 6:
            return (("the rest", 1.0),)
        found: Counter[str] = Counter()
        for caller, seconds in callers.items():
            for part, share in shares(caller, depth + 1):
                found[part] += share * seconds / whole
        return tuple(found.items())

    seconds: Counter[str] = Counter()
    for function, figures in stats.items():
        for part, share in shares(function, 0):
            seconds[part] += figures[2] * share
    return seconds


def measure(job: Job, top: int) -> None:
    """Run a task in this process without a profiler, and one with it."""
    provider(replace(job, documents=WARM_UP, prefix="warm-up/"))
    rust = _Rust()
    began, cpu_s, loop_s = time.monotonic(), time.process_time(), time.thread_time()
    with rust:
        provider(job)
    took_s = time.monotonic() - began
    cpu_s, loop_s = time.process_time() - cpu_s, time.thread_time() - loop_s
    profile = cProfile.Profile(time.thread_time)
    profile.enable()
    provider(job)
    profile.disable()
    each_ms = 1000 / job.documents
    print(f"{cpu_s * each_ms:.1f} ms of processor time per document, {job.documents / took_s:.0f} documents/s:")
    print(
        f"{loop_s * each_ms:.1f} in the event loop's thread, {rust.seconds * each_ms:.1f} in obstore's threads, ",
        end="",
    )
    print(f"{(cpu_s - loop_s - rust.seconds) * each_ms:.1f} in other threads.\n")
    stats = pstats.Stats(profile, stream=(text := io.StringIO()))
    seconds = parts(stats.stats)  # type: ignore[attr-defined]
    print("| part of the event loop's thread | share |\n|---|--:|")
    for part, share in seconds.most_common():
        if share >= seconds.total() / 200:
            print(f"| {part} | {share / seconds.total():.0%} |")
    if top:
        stats.sort_stats("tottime").print_stats(top)
        print(text.getvalue())


class _Rust:
    """The processor time of obstore's threads, from what Linux says of each thread; those that end are seen before."""

    def __enter__(self) -> None:
        self.seconds = 0.0
        self._before, self._last = self._read(), dict[str, float]()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self._last |= self._read()
        self.seconds = sum(seconds - self._before.get(name, 0.0) for name, seconds in self._last.items())

    def _watch(self) -> None:
        while not self._done.wait(0.1):
            self._last |= self._read()

    @staticmethod
    def _read() -> dict[str, float]:
        found = {}
        for file in Path("/proc/self/task").glob("*/stat"):
            name, _, rest = file.read_text(encoding="utf-8").rpartition(")")
            if "(tokio" in name:
                user, system = rest.split()[11:13]
                found[name] = (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
        return found


def main() -> None:
    """Servers, and the task in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=500)
    parser.add_argument("--top", type=int, default=0)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        measure(Job(**json.loads(given.job)), given.top)
        return
    with scans(given.documents) as server, endpoint(0, 0) as ocr, tempfile.TemporaryDirectory() as home:
        job = json.dumps(asdict(Job(server.endpoint_url, ocr.url, given.documents)))
        command = [sys.executable, "-m", "benchmarks.where", "--job", job, "--top", str(given.top)]
        env = environment(
            AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False", PYTHONPATH=os.environ.get("PYTHONPATH", "")
        )
        subprocess.run(command, cwd=ROOT, env=env, check=True)


if __name__ == "__main__":
    main()
