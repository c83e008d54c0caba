# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.airflow_campaign.fleet --executor local|celery``: one plan, four tasks at once, on a real Airflow.

While 2,000 scans are read, a worker is killed with all that it started, another one is stopped for a minute, and the
Redis of the limit is lost for 15 seconds. Then plan, one shard and report are cleared, each by itself. Celery has two
workers of two slots each and a Redis of its own as the broker; it needs apache-airflow-providers-celery beside the
project.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.airflow_campaign.running import KEY, Airflow, airflow, signal_tree
from tests.crash.checker import Event, Facts, etags, inspect
from tests.kit.servers.process import simulator_process
from tests.kit.servers.redis import RedisServer, redis_server
from tests.kit.servers.s3 import seaweedfs
from tests.scans import scan
from tests.waiting import until

RUN = "fleet"
SHARDS = 8
RATE = 8
MAX_IN_FLIGHT = 8
STOPPED_S = 60.0
REDIS_LOST_S = 15.0
# While the limit is handed over, no call starts (docs/pace.md): not counted as time in which it could be used.
HANDING_OVER_S = 4.0
STARTING_S = 3.0


class Campaign:
    def __init__(self, there: Airflow, client: Any, url: str, limit: RedisServer, documents: int) -> None:
        self.airflow = there
        self.client = client
        self.url = url
        self.limit = limit
        self.documents = documents
        self.events: list[Event] = []
        self.pauses: list[tuple[float, float]] = []
        self.violations: list[str] = []
        self.kills = 0

    def run(self) -> str:
        self.airflow.trigger("fleet", RUN)
        for share, strike in ((0.2, self._kill), (0.45, self._stop), (0.75, self._lose_redis)):
            calls = int(share * self.documents)
            until(f"{calls} calls", lambda calls=calls: self._stats()["calls"] >= calls, pause_s=0.1)
            print(f"{strike.__name__[1:]} at call {self._stats()['calls']}", flush=True)
            strike()
        state = until("the end of the run", self._ended, limit_s=900)
        self.check(state == "success", f"the run is {state} in the end")
        journal = self._ask("/journal")
        facts = Facts("fleet", MAX_IN_FLIGHT, tuple(self.events))
        found = inspect(self.client, facts, journal)
        self.violations += found.violations
        report = self._xcom("books.report")
        self.check(report["documents"] == self.documents == report["extracted"] + report["dead_letter"], f"{report}")
        starts = sorted(call["started_at"] for call in journal)
        busiest, (used, while_working) = _busiest(starts), self._used(starts)
        tries = sum(task["try_number"] for task in self._tasks() if task["task_id"] == "books.ocr")
        line = (
            f"{found.documents} | {SHARDS} | {tries} | {self.kills} | {found.calls} | {found.paid_again} | "
            f"{self.kills * MAX_IN_FLIGHT} | {busiest} of {RATE} | {used:.3f}, {while_working:.3f} while tasks "
            f"worked | {starts[-1] - starts[0]:.0f} s"
        )
        print(line, flush=True)
        self._clear(len(journal))
        return line

    # --- strikes ------------------------------------------------------------------------------------------------------

    def _struck(self, number: signal.Signals) -> int:
        """Send the signal to one worker that works, with all that it started; its process."""
        root = until("a worker that works", self._working)
        there = set(signal_tree(root, number))
        hit = [task for task in self._running() if task["pid"] in there]
        self.kills += len(hit)
        self.events += [Event(number.name, time.monotonic())] * len(hit)
        print(f"  {number.name} to process {root} and {len(there) - 1} more, {len(hit)} of them tasks", flush=True)
        return root

    def _working(self) -> int | None:
        import psutil

        for task in self._running():
            if task["pid"] and psutil.pid_exists(task["pid"]):
                parents = [one.pid for one in psutil.Process(task["pid"]).parents()]
                celery = [worker.pid for worker in self.airflow.workers if worker.pid in parents]
                return celery[0] if celery else parents[0]
        return None

    def _kill(self) -> None:
        root = self._struck(signal.SIGKILL)
        for worker in self.airflow.workers:
            if worker.pid == root:
                worker.stop()
                time.sleep(5)
                worker.start()

    def _stop(self) -> None:
        root = self._struck(signal.SIGSTOP)
        threading.Timer(STOPPED_S, lambda: signal_tree(root, signal.SIGCONT)).start()

    def _lose_redis(self) -> None:
        lost = time.monotonic()
        self.limit.stop()
        time.sleep(REDIS_LOST_S)
        self.limit.start()
        self.pauses.append((lost, time.monotonic() + HANDING_OVER_S))

    # --- afterwards ---------------------------------------------------------------------------------------------------

    def _used(self, starts: Sequence[float]) -> tuple[float, float]:
        """The share of the limit, from the first call to that by which 19 of 20 are done, without the loss of Redis.
        Then the same without the times in which Airflow was starting all of the tasks that were left."""
        end = starts[int(len(starts) * 0.95)]
        counted = [at for at in starts if at <= end and not any(first <= at <= last for first, last in self.pauses)]
        took_s = end - starts[0] - sum(last - first for first, last in self.pauses if last <= end)
        lost = {first for first, _ in self.pauses}
        gaps = [(at, later) for at, later in pairwise(counted) if later - at > STARTING_S]
        idle_s = sum(later - at for at, later in gaps if not any(at <= first <= later for first in lost))
        return len(counted) / took_s / RATE, len(counted) / (took_s - idle_s) / RATE

    def _clear(self, calls: int) -> None:
        """Plan, one shard and report, each by itself: no call, the same bytes."""
        before = etags(self.client, "fleet")
        for task_id, index in (("books.plan", -1), ("books.ocr", 3), ("books.report", -1)):
            tries = self._instance(task_id, index)["try_number"]
            wanted = [task_id, index] if index >= 0 else task_id
            body = {"dry_run": False, "dag_run_id": RUN, "task_ids": [wanted], "only_failed": False}
            self.airflow.ask("POST", "dags/fleet/clearTaskInstances", {**body, "reset_dag_runs": True})
            until(
                f"{task_id} once more",
                lambda task_id=task_id, index=index, tries=tries: (
                    (task := self._instance(task_id, index))["try_number"] > tries and task["state"] == "success"
                ),
                limit_s=240,
            )
            until("the end of the run", self._ended)
        again = len(self._ask("/journal")) - calls
        self.check(not again, f"cleared tasks made {again} calls")
        self.check(etags(self.client, "fleet") == before, "cleared tasks left other bytes")
        print("plan, one shard and report were cleared, each by itself", flush=True)

    def _ended(self) -> str | None:
        [run] = self.airflow.runs("fleet")
        return run["state"] if run["state"] in ("success", "failed") else None

    def _tasks(self) -> list[dict[str, Any]]:
        path = f"dags/fleet/dagRuns/{RUN}/taskInstances?limit=100"
        found: list[dict[str, Any]] = self.airflow.ask("GET", path)["task_instances"]
        return found

    def _running(self) -> list[dict[str, Any]]:
        return [one for one in self._tasks() if one["task_id"] == "books.ocr" and one["state"] == "running"]

    def _instance(self, task_id: str, index: int) -> dict[str, Any]:
        return next(one for one in self._tasks() if (one["task_id"], one["map_index"]) == (task_id, index))

    def _xcom(self, task_id: str) -> Any:
        path = f"dags/fleet/dagRuns/{RUN}/taskInstances/{task_id}/xcomEntries/return_value?deserialize=true"
        return self.airflow.ask("GET", path)["value"]

    def _stats(self) -> Any:
        return self._ask("/stats")

    def _ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=60) as answer:
            return json.load(answer)

    def check(self, holds: object, violation: str) -> None:
        if not holds:
            self.violations.append(violation)


def _busiest(starts: Sequence[float]) -> int:
    """The most calls in any second."""
    last: deque[float] = deque()
    most = 0
    for at in starts:
        last.append(at)
        while last[0] <= at - 1.0:
            last.popleft()
        most = max(most, len(last))
    return most


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.airflow_campaign.fleet", description=__doc__)
    parser.add_argument("--executor", choices=("local", "celery"), default="local")
    parser.add_argument("--documents", type=int, default=2000)
    given = parser.parse_args()
    began = time.monotonic()
    line = "nothing"
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="aigen-fleet-"))
        print(f"Airflow's home is {folder}/airflow", flush=True)
        s3 = stack.enter_context(seaweedfs(folder / "s3"))
        client = s3.client(max_pool_connections=16)
        for bucket in ("scans", "lake"):
            client.create_bucket(Bucket=bucket)

        def put(number: int) -> None:
            body = scan({"model": f"fleet {number}"}) if number % 50 else scan(width=600 + number)
            client.put_object(Bucket="scans", Key=f"fleet/{number:05d}.jpg", Body=body)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, range(given.documents)))
        limit, broker = stack.enter_context(redis_server()), stack.enter_context(redis_server())
        options = ("--latency-ms", "500", "--latency-jitter", "0.5", "--quiet")
        url = stack.enter_context(simulator_process(KEY, folder / "simulator.log", *options))
        extra = {"allow_http": True, "requests_per_second": RATE}
        more = {
            "AIRFLOW_CONN_AIGEN_FLEET": json.dumps(
                {"conn_type": "aigen", "host": url, "password": KEY, "extra": extra}
            ),
            "AIRFLOW_CONN_REDIS_DEFAULT": json.dumps({"conn_type": "redis", "host": "127.0.0.1", "port": limit.port}),
            "AIRFLOW__CORE__PARALLELISM": "4" if given.executor == "local" else "16",
        }
        if given.executor == "celery":
            at = f"redis://127.0.0.1:{broker.port}"
            more |= {
                "AIRFLOW__CORE__EXECUTOR": "airflow.providers.celery.executors.celery_executor.CeleryExecutor",
                "AIRFLOW__CELERY__BROKER_URL": f"{at}/0",
                "AIRFLOW__CELERY__RESULT_BACKEND": f"{at}/1",
            }
        home = folder / "airflow"
        home.mkdir()
        workers = 2 if given.executor == "celery" else 0
        there = stack.enter_context(airflow(home, s3, {"fleet": url}, more, workers))
        campaign = Campaign(there, client, url, limit, given.documents)
        try:
            line = campaign.run()
        except Exception as error:  # noqa: BLE001 - what is known so far is told
            campaign.violations.append(f"{type(error).__name__}: {error}")
    print("| executor | documents | shards | tries | killed or stopped | calls | paid again | bound | busiest second")
    print(f"  | limit used | first to last call |\n| {given.executor} | {line} |")
    for violation in campaign.violations:
        print(f"VIOLATED: {violation}")
    print(f"\n{time.monotonic() - began:.0f} s, {len(campaign.violations)} violations")
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main())
