# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.crash.upkeep --trials 60``: redrives, rebuilds, erasures and runs at once, each killed up to three
times at a random moment and tried again, on a real S3 and the simulator. Exit code 1 for a violation.
"""

from __future__ import annotations

import argparse
import gzip
import io
import multiprocessing
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pyarrow.parquet as pq

from tests.crash.driver import Machine, machine
from tests.crash.operators import MAX_IN_FLIGHT, Operation, operate
from tests.crash.proxy import network
from tests.crash.worker import DONE, RETRY
from tests.kit.servers.s3 import seaweedfs
from tests.scans import scan

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.crash.operators"])
_LIMIT_S = 120.0
_MOST_TRIES = 12
_BETWEEN_TRIES_S = 2.0
_TABLES = {"fields": ("document_id", "page_number", "field_name"), "documents": ("document_id", "commit")}


class UpkeepTrial:
    """One seed. ``kills`` counts the SIGKILLs that found their process alive, ``violations`` says what does not hold.
    ``once`` are the documents that are refused at their first call."""

    def __init__(self, seed: int, there: Machine) -> None:
        self.seed = seed
        self.there = there
        self.prefix = f"u{seed:06d}"
        self.chance = random.Random(f"upkeep {seed}")
        self.violations: list[str] = []
        self.kills: Counter[str] = Counter()
        self.calls = 0
        self.redrives = self.once = 0
        self._lock = threading.Lock()

    def run(self) -> None:
        there, chance = self.there, self.chance
        there.ask("/reset")
        there.ask("/control", latency_ms=chance.uniform(20, 300), latency_jitter=0.5, seed=self.seed)
        for number in range(chance.randint(9, 18)):
            self._put(f"{number:02d}.jpg", self._scan(number, chance.random()))
        self._finish(self._operation("run", "first"), kills=0)
        self._put("late.jpg", self._scan(90, 1.0))
        erased = tuple(f"s3://scans/{self.prefix}/{name}" for name in ("00.jpg", "01.jpg"))
        self.secrets = self._secrets(erased)
        wanted = [self._operation("redrive", "r0"), self._operation("rebuild", "b0"), self._operation("run", "second")]
        wanted += [replace(self._operation("erase", "e0"), erased=erased)]
        wanted += [self._operation(kind, f"{kind}-twin") for kind in ("redrive", "rebuild") if chance.random() < 0.5]
        chance.shuffle(wanted)
        with ThreadPoolExecutor(len(wanted)) as threads:
            list(threads.map(lambda one: self._finish(one, kills=3, after_s=2.0), wanted))
        self._finish(self._operation("run", "third"), kills=0)
        self._finish(self._operation("redrive", "last"), kills=0)
        self._finish(self._operation("rebuild", "last"), kills=0)
        before = there.ask("/stats")["calls"]
        self._finish(self._operation("run", "nothing"), kills=0)
        self.calls = there.ask("/stats")["calls"]
        if self.calls != before:
            self.violations.append(f"a run after the last one makes {self.calls - before} calls")
        self.violations += self._broken(erased)

    def _scan(self, number: int, luck: float) -> bytes:
        name = f"{self.seed}-{number}"
        if luck < 0.3:
            self.once += 1
            return scan({"model": name}, status=400, code="1001", times=1)  # a redrive heals it
        if luck < 0.4:
            return scan(width=600 + number)  # no registration book
        return scan({"registration_number_car": f"กข {name}", "model": name})

    def _put(self, name: str, body: bytes) -> None:
        self.there.client.put_object(Bucket="scans", Key=f"{self.prefix}/{name}", Body=body)

    def _operation(self, kind: str, name: str) -> Operation:
        limit = self.chance.choice((None, 0.9)) if kind == "rebuild" else None
        log = self.there.logs / f"{self.prefix}-{kind}-{name}.log"
        return Operation(kind, name, self.prefix, self.there.s3, self.there.aigen_url, log, min_confidence=limit)

    def _finish(self, task: Operation, *, kills: int, after_s: float = 0.0) -> None:
        """Start it, kill it at a random moment, and try again, until it has done its work."""
        chance = random.Random(f"{self.seed} {task.kind} {task.name}")
        time.sleep(chance.uniform(0, after_s))
        self.redrives += task.kind == "redrive"
        for number in range(_MOST_TRIES):
            process = _PROCESSES.Process(target=operate, args=(task,))
            process.start()
            if number < kills:
                process.join(chance.uniform(0.05, 2.5))
                if process.is_alive():
                    process.kill()
                    with self._lock:
                        self.kills[task.kind] += 1
            process.join(_LIMIT_S)
            if process.exitcode == DONE:
                return
            time.sleep(_BETWEEN_TRIES_S)
            if process.exitcode not in (RETRY, -signal.SIGKILL):
                process.kill()
                self.violations.append(f"{task.kind} {task.name} ended with {process.exitcode}, see {task.log}")
                return
        self.violations.append(f"{task.kind} {task.name} did not end after {_MOST_TRIES} tries")

    # --- what must hold ---------------------------------------------------------------------------------------------

    def _objects(self) -> Iterator[tuple[str, bytes]]:
        client = self.there.client
        for place in (f"{self.prefix}/", f"dead/{self.prefix}/"):
            for page in client.get_paginator("list_objects_v2").paginate(Bucket="lake", Prefix=place):
                for item in page.get("Contents", ()):
                    yield item["Key"], client.get_object(Bucket="lake", Key=item["Key"])["Body"].read()

    def _rows(self, table: str) -> list[dict[str, Any]]:
        return [
            row
            for key, body in self._objects()
            if key.startswith(f"{self.prefix}/{table}/")
            for row in pq.read_table(io.BytesIO(body)).to_pylist()
        ]

    def _secrets(self, erased: tuple[str, ...]) -> set[bytes]:
        rows = [row for row in self._rows("documents") if row["source_uri"] in erased]
        return {row["content_sha256"].encode() for row in rows} | {uri.rpartition("//")[2].encode() for uri in erased}

    def _broken(self, erased: tuple[str, ...]) -> Iterator[str]:
        rows = {table: self._rows(table) for table in _TABLES}
        for table, names in _TABLES.items():
            counts = Counter(tuple(row[name] for name in names) for row in rows[table])
            twice = [row for row, times in counts.items() if times > 1]
            if twice:
                yield f"{len(twice)} rows of {table} are there twice"
        yield from self._wrong_ends(rows, erased)
        for key, body in self._objects():
            text = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
            text = str(pq.read_table(io.BytesIO(body)).to_pylist()).encode() if body[:4] == b"PAR1" else text
            if any(secret in text or secret in key.encode() for secret in self.secrets):
                yield f"{key} has something of the erased"

    def _wrong_ends(self, rows: dict[str, list[dict[str, Any]]], erased: tuple[str, ...]) -> Iterator[str]:
        newest = {row["source_uri"]: row for row in sorted(rows["documents"], key=lambda one: one["commit"])}
        with_rows = {row["source_uri"] for row in rows["fields"]}
        pages = self.there.client.get_paginator("list_objects_v2").paginate(Bucket="scans", Prefix=f"{self.prefix}/")
        there = {f"s3://scans/{item['Key']}" for page in pages for item in page.get("Contents", ())}
        if there != newest.keys() or there & {*erased}:
            yield f"{len(there ^ newest.keys())} documents are lost, or left"
        for uri, row in newest.items():
            if "1001" in row["error_codes"] or (row["outcome"] == "extracted") != (uri in with_rows):
                yield f"{row['document_id']} ends as {row['outcome']} {row['error_codes']}"
        refused = sum(row["outcome"] == "dead_letter" for row in newest.values())
        letters = [key for key, _ in self._objects() if key.startswith("dead/") and "error_code=" in key]
        if sum(key.endswith(".json") for key in letters) != refused:
            yield "the letters are not those of the newest outcomes"
        # A content is called once, and once more in each redrive that finds it refused; of the erased all is unknown.
        calls = Counter(call["sha256"] for call in self.there.ask("/journal"))
        again = sum(times - 1 for times in calls.values())
        most = self.once + (refused + len(erased)) * self.redrives
        most += (self.kills["run"] + self.kills["redrive"]) * MAX_IN_FLIGHT
        if again > most:
            yield f"{again} calls are made again, and {most} may be"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.crash.upkeep", description=__doc__)
    parser.add_argument("--trials", type=int, default=20, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=3, help="trials at once")
    options = parser.parse_args(arguments)
    home = Path(tempfile.mkdtemp(prefix="aigen-crash-"))
    began, seeds = time.monotonic(), range(options.first, options.first + options.trials)
    with ExitStack() as stack:
        s3, proxies = stack.enter_context(seaweedfs(home / "s3")), stack.enter_context(network())
        for bucket in ("scans", "lake"):
            s3.client().create_bucket(Bucket=bucket)
        machines: SimpleQueue[Machine] = SimpleQueue()
        for number in range(options.jobs):
            (logs := home / f"logs-{number}").mkdir()
            machines.put(stack.enter_context(machine(s3, proxies, logs)))
        threads = stack.enter_context(ThreadPoolExecutor(options.jobs))
        trials = list(threads.map(lambda seed: _one(seed, machines), seeds))
    kills = sum((trial.kills for trial in trials), Counter[str]())
    violations = sum(len(trial.violations) for trial in trials)
    print(f"{len(trials)} trials, killed {dict(sorted(kills.items()))}, {sum(trial.calls for trial in trials)} calls")
    print(f"{violations} violations; {time.monotonic() - began:.0f} s; logs in {home}")
    return 1 if violations else 0


def _one(seed: int, machines: SimpleQueue[Machine]) -> UpkeepTrial:
    there = machines.get()
    try:
        trial = UpkeepTrial(seed, there)
        trial.run()
    finally:
        machines.put(there)
    print(f"{seed:6d} {dict(trial.kills)}, {trial.calls} calls", *trial.violations, sep="\n  ", flush=True)
    return trial


if __name__ == "__main__":
    sys.exit(main())
