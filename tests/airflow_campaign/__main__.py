# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.airflow_campaign``: what only a real scheduler can show (design §7), some six minutes.

=================  ================================================================================================
``killed``         SIGKILL to the task's process in mid-run; Airflow tries it again
``orphaned``       SIGKILL to the executor's worker: its task goes on, unknown to Airflow, beside the next try
``marked_failed``  marked as failed in mid-run: ``on_kill`` drains; then cleared
``cleared``        a finished task is cleared: no call, the same bytes
``backfilled``     five intervals over one prefix, as many at once as Airflow likes
``read``           a DAG scheduled on a table: started once for ``killed``, and once more for ``cleared``
=================  ================================================================================================
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from airflow_provider_aigen.simulator import RunningSimulator, running_simulator
from tests.airflow_campaign.running import KEY, Airflow, airflow
from tests.crash.checker import Event, Facts, Found, etags, inspect
from tests.kit.servers.s3 import seaweedfs
from tests.scans import scan
from tests.waiting import until

SCENARIOS = ("killed", "orphaned", "marked_failed", "backfilled")
DOCUMENTS = 80
MAX_IN_FLIGHT = 8
STRIKE_AT_CALL = 24
RUN = "campaign"


class Campaign:
    def __init__(self, airflow: Airflow, client: Any, endpoints: dict[str, RunningSimulator]) -> None:
        self.airflow = airflow
        self.client = client
        self.endpoints = endpoints
        self.events: dict[str, list[Event]] = {name: [] for name in SCENARIOS}
        self.violations: list[str] = []
        self.lines: list[str] = []

    def run(self) -> None:
        for name in SCENARIOS[:3]:
            self.airflow.trigger(name, RUN)
        with ThreadPoolExecutor() as threads:
            for struck in [threads.submit(self._strike, name) for name in SCENARIOS[:3]]:
                struck.result()
        drained = self._drained()
        self.airflow.clear("marked_failed", RUN)
        for name in SCENARIOS[:3]:
            self._wait_for_success(name)
        self._told("killed", self._inspect("killed"), "")
        self._told("orphaned", self._inspect("orphaned"), "")
        self._told("marked_failed", self._inspect("marked_failed"), drained)
        self._read(1)
        self._clear("killed")
        self._read(2)
        self._backfill()

    def _strike(self, name: str) -> None:
        """In mid-run."""
        until(f"calls of {name}", lambda: self.endpoints[name].stats()["calls"] >= STRIKE_AT_CALL, pause_s=0.05)
        getattr(self, f"_strike_{name}")(self.airflow.task(name, RUN))

    def _wait_for_success(self, name: str) -> None:
        state = until(f"end of {name}", lambda: self._ended(name))
        self.check(state == "success", f"{name}: the task is {state} in the end")

    def _ended(self, name: str) -> Any:
        state = self.airflow.task(name, RUN)["state"]
        return state if state in ("success", "failed") else None

    # --- strikes ----------------------------------------------------------------------------------------------------

    def _strike_killed(self, task: dict[str, Any]) -> None:
        os.kill(task["pid"], signal.SIGKILL)
        self.events["killed"].append(Event("SIGKILL", time.monotonic()))

    def _strike_orphaned(self, task: dict[str, Any]) -> None:
        worker = _parent(task["pid"])
        if "airflow" not in Path(f"/proc/{worker}/cmdline").read_text():
            raise RuntimeError(f"process {worker} is no worker of Airflow's")
        os.kill(worker, signal.SIGKILL)
        self.events["orphaned"].append(Event("SIGKILL", time.monotonic()))

    def _strike_marked_failed(self, task: dict[str, Any]) -> None:
        self.airflow.ask("PATCH", f"dags/marked_failed/dagRuns/{RUN}/taskInstances/ocr", {"new_state": "failed"})
        marked = time.monotonic()
        until("end of the process", lambda: not _runs(task["pid"]), limit_s=60, pause_s=0.02)
        self.ended_after_s = time.monotonic() - marked

    def _drained(self) -> str:
        """Every call that was answered before the process ended is kept, and none is in flight."""
        journal = self.endpoints["marked_failed"].journal()
        state = "marked_failed/_aigen/answers/"
        listed = self.client.list_objects_v2(Bucket="lake", Prefix=state).get("Contents", ())
        kept = {item["Key"].rpartition("/")[2].removesuffix(".json.gz") for item in listed}
        paid = {call["sha256"] for call in journal if call["billed"]}
        in_flight = _in_flight_at_the_end(journal)
        self.check(paid == kept, f"{len(paid - kept)} answers in flight at SIGTERM were lost")
        return f"ended {self.ended_after_s:.1f} s after it was marked; of {in_flight} calls in flight all were kept"

    # --- after the runs ---------------------------------------------------------------------------------------------

    def _clear(self, name: str) -> None:
        before, calls = etags(self.client, name), len(self.endpoints[name].journal())
        tries = self.airflow.task(name, RUN)["try_number"]
        self.airflow.clear(name, RUN)
        until("the clear", lambda: self.airflow.task(name, RUN)["try_number"] > tries)
        self._wait_for_success(name)
        again = len(self.endpoints[name].journal()) - calls
        self.check(not again, f"a cleared task made {again} calls")
        changed = sorted(key for key, _ in before.items() ^ etags(self.client, name).items())
        self.check(not changed, f"a cleared task left other bytes: {changed[:3]}")
        self.lines.append(f"| cleared | 1 | {DOCUMENTS} | {again} | 0 | 0 | {len(before)} objects, the same bytes |")

    def _read(self, times: int) -> None:
        """However often the task was tried: one event of each run that succeeds, and it tells of the partition."""
        runs = until("the reader", lambda: self._readers(times), limit_s=120)
        self.check(len(runs) == times, f"the reader was started {len(runs)} times, not {times}")
        written = {key.split("/")[2] for key in etags(self.client, "killed") if key.startswith("killed/fields/")}
        for run in runs:
            path = f"dags/reader/dagRuns/{quote(run['dag_run_id'])}/taskInstances/partitions/xcomEntries/return_value"
            told = self.airflow.ask("GET", f"{path}?deserialize=true")["value"]
            self.check(set(told) == written, f"the reader was told of {told}, written was {sorted(written)}")
        if times == 2:
            self.lines.append(f"| read | 1 | | | | | started {len(runs)} times, told of {', '.join(told)} |")

    def _readers(self, times: int) -> Any:
        runs = [run for run in self.airflow.runs("reader") if run["state"] in ("success", "failed")]
        return runs if len(runs) >= times else None

    def _backfill(self) -> None:
        name = "backfilled"
        self.airflow.ask(
            "POST",
            "backfills",
            {
                "dag_id": name,
                "from_date": "2026-01-01T00:00:00Z",
                "to_date": "2026-01-05T00:00:00Z",
                "max_active_runs": 5,
                "reprocess_behavior": "none",
            },
        )
        self.airflow.ask("PATCH", f"dags/{name}", {"is_paused": False})
        runs = until("the backfill", lambda: self._all_ended(name))
        states = sorted(run["state"] for run in runs)
        self.check(states == ["success"] * 5, f"the backfill's runs are {states}")
        found = self._inspect(name)
        commits = [item for item in etags(self.client, name) if "/fields/" in item]
        shares = {part.partition("/fields/")[2].partition("/")[0] for part in commits}
        self._told(name, found, f"{len(runs)} runs, the documents are in {len(shares)} partitions")

    def _all_ended(self, name: str) -> Any:
        runs = self.airflow.runs(name)
        return runs if len(runs) == 5 and all(run["state"] in ("success", "failed") for run in runs) else None

    def _inspect(self, name: str) -> Found:
        facts = Facts(name, MAX_IN_FLIGHT, tuple(self.events[name]))
        found = inspect(self.client, facts, self.endpoints[name].journal())
        self.violations += [f"{name}: {violation}" for violation in found.violations]
        return found

    def _told(self, name: str, found: Found, more: str) -> None:
        tries = self.airflow.task(name, RUN)["try_number"] if name != "backfilled" else 1
        if name in ("killed", "orphaned"):
            task = self.airflow.task(name, RUN)
            more = f"done {_seconds(task):.0f} s after its last try began"
        self.lines.append(
            f"| {name} | {tries} | {found.documents} | {found.calls} | {found.paid_again} | {found.bound} | {more} |"
        )

    def check(self, holds: object, violation: str) -> None:
        if not holds:
            self.violations.append(violation)


def _seconds(task: dict[str, Any]) -> float:
    return float(task["duration"] or 0.0)


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _runs(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def _in_flight_at_the_end(journal: list[dict[str, Any]]) -> int:
    last = max(call["started_at"] for call in journal)
    return sum(call["started_at"] + call["duration"] > last for call in journal)


def main() -> int:
    began = time.monotonic()
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # senders that are killed in mid-call are its errors
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="aigen-airflow-"))
        s3 = stack.enter_context(seaweedfs(folder / "s3"))
        client = s3.client()
        for bucket in ("scans", "lake"):
            client.create_bucket(Bucket=bucket)
        endpoints = {
            name: stack.enter_context(running_simulator(keys=(KEY,), latency_ms=1000, latency_jitter=0.5))
            for name in SCENARIOS
        }
        for name in SCENARIOS:
            for number in range(DOCUMENTS):
                body = scan({"model": f"{name} {number}"}) if number % 20 else scan(width=600 + number)
                client.put_object(Bucket="scans", Key=f"{name}/{number:03d}.jpg", Body=body)
        home = folder / "airflow"
        home.mkdir()
        print(f"Airflow's home is {home}", flush=True)
        there = stack.enter_context(airflow(home, s3, {name: one.url for name, one in endpoints.items()}))
        campaign = Campaign(there, client, endpoints)
        try:
            campaign.run()
        except Exception as error:  # noqa: BLE001 - what is known so far is told
            campaign.violations.append(f"{type(error).__name__}: {error}")
    print("| scenario | tries | documents | calls | paid again | bound | |\n|---|--:|--:|--:|--:|--:|---|")
    print("\n".join(campaign.lines))
    for violation in campaign.violations:
        print(f"VIOLATED: {violation}")
    print(f"\n{time.monotonic() - began:.0f} s, {len(campaign.violations)} violations")
    return 1 if campaign.violations else 0


if __name__ == "__main__":
    sys.exit(main())
