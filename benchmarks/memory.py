# SPDX-License-Identifier: Apache-2.0
"""What a task's memory rises by, against its bound: ``python -m benchmarks.memory [--cases large many] [--trace]``.

The bound is 64 MB + 3 times the largest image for each document in flight. ``large``: images of nearly 10 MB, 8 and 32
in flight. ``many``: images of 8 KB, 1,000 and 20,000 documents (``--documents``). Every case is a process of its own.
Its memory rises from two bases: what it has before ``execute``, and what it has after a small task, when everything is
imported and connected. ``--trace`` shows the lines that hold most of Python's memory at its peak; it makes the task
slower.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import tracemalloc
from contextlib import suppress
from dataclasses import asdict, replace

from benchmarks.documents import WARM_UP, peak_kib, reset_peak_kib, scans
from benchmarks.endpoint import endpoint
from benchmarks.rows import Job, ocr_operator, provider
from tests.kit.servers.process import ROOT, environment

_MB = 1_000_000
_SMALL = 8_000
_FIXED, _PER_IMAGE = 64 * _MB, 3


def measure(job: Job, *, trace: bool) -> None:
    """Run a task in this process, and print its bases and its peak in bytes."""
    ocr_operator(job)  # imports what a DAG file imports
    gc.collect()
    before = reset_peak_kib()
    provider(replace(job, documents=WARM_UP, prefix="warm-up/"))
    gc.collect()
    warm = reset_peak_kib()
    if trace:
        with _Tracing():
            provider(job)
    else:
        provider(job)
    print("\n" + json.dumps([each * 1024 for each in (before, warm, peak_kib())]))


class _Tracing:
    """Looks at Python's memory 20 times per second, and shows who held it when it was most."""

    def __enter__(self) -> None:
        self._done, self._most, self._seen = threading.Event(), 0, ""
        tracemalloc.start(6)
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        tracemalloc.stop()
        print(self._seen, file=sys.stderr)

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            if tracemalloc.get_traced_memory()[0] > 1.05 * self._most:
                snapshot = tracemalloc.take_snapshot()
                self._most = sum(trace.size for trace in snapshot.traces)
                top = snapshot.statistics("traceback")[:5]
                texts = (f"{at.size / _MB:.1f} MB in {at.count}\n" + "\n".join(at.traceback.format(6)) for at in top)
                self._seen = f"{self._most / _MB:.0f} MB of Python's\n" + "\n".join(texts)


def show(job: Job, image_bytes: int, *, trace: bool) -> None:
    """Run one case, and print its line of the table."""
    command = [sys.executable, "-m", "benchmarks.memory", "--job", json.dumps(asdict(job))]
    with tempfile.TemporaryDirectory() as home:
        env = environment(
            AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False", PYTHONPATH=os.environ.get("PYTHONPATH", "")
        )
        done = subprocess.run(
            [*command, *["--trace"] * trace], cwd=ROOT, env=env, check=False, capture_output=True, text=True
        )
    with suppress(IndexError, ValueError):
        before, warm, peak = json.loads(done.stdout.splitlines()[-1])
        bound = _FIXED + _PER_IMAGE * job.in_flight * image_bytes
        figures = " | ".join(f"{each / _MB:.0f}" for each in (peak - warm, bound, peak - before, peak))
        within = "met" if peak - warm <= bound else "**missed**"
        print(f"| {job.documents} of {image_bytes / _MB:g} MB | {job.in_flight} | {within} | {figures} |", flush=True)
        if trace:
            print(done.stderr, file=sys.stderr)
        return
    raise SystemExit(f"the case failed:\n{done.stdout[-4000:]}\n{done.stderr}")


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="+", choices=["large", "many"], default=["large", "many"])
    parser.add_argument("--documents", type=int, nargs="+", default=[1_000, 20_000], help="of the case many")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[8, 32], help="in the case large")
    parser.add_argument("--megabytes", type=float, nargs="+", default=[9.9], help="of an image in the case large")
    parser.add_argument("--latency", type=int, default=100, help="of the endpoint, in milliseconds")
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        measure(Job(**json.loads(given.job)), trace=given.trace)
        return
    print("| documents | in flight | | MB over a small task before it | bound | over the start | whole process |")
    print("|---|--:|---|--:|--:|--:|--:|")
    with endpoint(given.latency / 1000, given.latency / 1000) as ocr:
        if "large" in given.cases:
            for size in (int(megabytes * _MB) for megabytes in given.megabytes):
                documents = 3 * max(given.in_flight)
                with scans(documents, size) as server:
                    for in_flight in given.in_flight:
                        job = Job(server.endpoint_url, ocr.url, documents, in_flight=in_flight)
                        show(job, size, trace=given.trace)
        if "many" in given.cases:
            for documents in given.documents:
                with scans(documents, _SMALL) as server:
                    show(Job(server.endpoint_url, ocr.url, documents), _SMALL, trace=given.trace)


if __name__ == "__main__":
    main()
