# SPDX-License-Identifier: Apache-2.0
"""Documents per second, processor time per document and peak memory of the provider beside scripts that do less.

    python -m benchmarks.documents [--documents 2000] [--rounds 5] [--latencies 0 300] [--rows TEXT …] [--write]

A real S3 server and an endpoint, each a process of its own, images of 300 KB, 32 in flight. Every row runs in a process
of its own, the rows in turns; medians of the rounds. Ratios carry over to other machines, milliseconds don't. Each row
works on 64 documents first, which are not measured: the start of a task has a benchmark of its own
(``benchmarks.start_up``).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.endpoint import endpoint
from benchmarks.performance_page import Measured, tables, write
from benchmarks.rows import ROWS, Job
from tests.kit.servers.process import ROOT, environment
from tests.kit.servers.s3 import S3Server, seaweedfs
from tests.scans import scan

_IMAGE_BYTES = 300_000
WARM_UP = 64


def measure(row: str, job: Job) -> Measured:
    """Run a row in this process."""
    work = ROWS[row]
    work(replace(job, documents=WARM_UP, prefix="warm-up/"))
    gc.collect()
    base_kib = reset_peak_kib()
    began_s, cpu_s = time.monotonic(), time.process_time()
    work(job)
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
    peak_mib = (peak_kib() - base_kib) / 1024
    return Measured(job.documents / took_s, cpu_s / job.documents * 1000, peak_mib)


def reset_peak_kib() -> int:
    """Linux forgets the peak so far. Gives what the process has now."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status_kib("VmRSS")


def peak_kib() -> int:
    """The most that the process had since then."""
    return _status_kib("VmHWM")


def _status_kib(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


@contextmanager
def scans(documents: int, image_bytes: int = _IMAGE_BYTES) -> Iterator[S3Server]:
    """A server with so many different images under ``s3://scans/in/``, and others of 300 KB or less under
    ``warm-up/``."""
    image = scan({"color": "แดง"})

    with tempfile.TemporaryDirectory() as folder, seaweedfs(Path(folder)) as server:
        client = server.client(max_pool_connections=8)
        for bucket in ("scans", "lake"):
            client.create_bucket(Bucket=bucket)

        def put(key: str) -> None:
            size = min(image_bytes, _IMAGE_BYTES) if key.startswith("warm-up/") else image_bytes
            body = image + os.urandom(max(16, size - len(image)))  # behind its end: every image is another one
            client.put_object(Bucket="scans", Key=key, Body=body)

        with ThreadPoolExecutor(8) as pool:
            for prefix, count in (("warm-up/", WARM_UP), ("in/", documents)):
                list(pool.map(put, Job("", "", count, prefix).keys))
        yield server


def in_turns(rows: list[str], jobs: dict[int, Job], rounds: int) -> dict[tuple[str, int], list[Measured]]:
    """Each row at each latency, so many times, one process after the other."""
    found: dict[tuple[str, int], list[Measured]] = {(row, latency): [] for latency in jobs for row in rows}
    for number in range(rounds):
        for (row, latency), figures in found.items():
            figures.append(_in_a_process(row, jobs[latency]))
            print(f"round {number + 1}, {latency} ms, {row}: {figures[-1]}", file=sys.stderr, flush=True)
    return found


def _in_a_process(row: str, job: Job) -> Measured:
    command = [sys.executable, "-m", "benchmarks.documents", "--row", row, "--job", json.dumps(asdict(job))]
    with tempfile.TemporaryDirectory() as home:
        env = environment(
            AIRFLOW_HOME=home,
            AIRFLOW__CORE__LOAD_EXAMPLES="False",
            PYTHONPATH=os.environ.get("PYTHONPATH", ""),
            AWS_EC2_METADATA_DISABLED="true",
        )
        done = subprocess.run(
            command, cwd=ROOT, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
        )
    if done.returncode:
        raise SystemExit(f"{row} failed:\n{done.stdout}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Every row in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--latencies", type=int, nargs="+", default=[0, 300], help="of the endpoint, in milliseconds")
    parser.add_argument("--rows", nargs="+", default=[""], help="only those whose name has one of these texts")
    parser.add_argument("--write", action="store_true", help="put table and plot into docs/performance.md")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.row:
        print("\n" + json.dumps(asdict(measure(given.row, Job(**json.loads(given.job))))))
        return
    rows = [row for row in ROWS if any(text in row for text in given.rows)]
    with scans(given.documents) as server, ExitStack() as stack:
        jobs = {}
        for latency in given.latencies:
            ocr = stack.enter_context(endpoint(latency / 1000, latency / 1000))
            jobs[latency] = Job(server.endpoint_url, ocr.url, given.documents)
        results = in_turns(rows, jobs, given.rounds)
    print(tables(results, given.documents))
    if given.write:
        write(results, given.documents)


if __name__ == "__main__":
    main()
