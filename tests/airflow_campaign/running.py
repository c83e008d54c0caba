# SPDX-License-Identifier: Apache-2.0
"""A real Airflow for the campaign: API server, scheduler with LocalExecutor, DAG processor, in a throwaway home; and
what the campaign uses of its REST API."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.airflow_api import ApiServer
from tests.kit.servers.process import ROOT, environment, free_port, process, wait_for
from tests.kit.servers.s3 import S3Server
from tests.waiting import until

__all__ = ["KEY", "Airflow", "Worker", "airflow", "signal_tree"]

KEY = "campaign-key-of-the-simulator"
_BIN = Path(sys.executable).parent
_START_S = 300.0


class Worker:
    """A Celery worker with two slots. It can be killed, all of it at once, and started again."""

    def __init__(self, number: int, home: Path, env: Mapping[str, str]) -> None:
        self._name = f"worker{number}@localhost"
        self._log = home / f"worker{number}.log"
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = [str(_BIN / "airflow"), "celery", "worker", "--concurrency", "2", "--skip-serve-logs"]
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, "--celery-hostname", self._name],
                env=self._env,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self) -> None:
        """Kill it, with all that it started."""
        if self._process is not None:
            signal_tree(self._process.pid, signal.SIGKILL)
            self._process.wait()


def signal_tree(pid: int, number: signal.Signals) -> list[int]:
    """Send the signal to a process and to all that it started; who got it."""
    import psutil

    try:
        root = psutil.Process(pid)
        tree = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    for one in tree:
        with suppress(psutil.NoSuchProcess):
            one.send_signal(number)
    return [one.pid for one in tree]


class Airflow:
    """Raises ``urllib.error.HTTPError`` for what the API refuses."""

    def __init__(self, server: ApiServer, home: Path, env: Mapping[str, str]) -> None:
        self._server = server
        self._home = home
        self._env = env
        self.workers: list[Worker] = []

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._server.ask(method, f"api/v2/{path}", body)

    def trigger(self, dag: str, run: str) -> None:
        self.ask("POST", f"dags/{dag}/dagRuns", {"dag_run_id": run, "logical_date": None})

    def task(self, dag: str, run: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"dags/{dag}/dagRuns/{run}/taskInstances/ocr")
        return found

    def clear(self, dag: str, run: str) -> None:
        body = {"dry_run": False, "dag_run_id": run, "task_ids": ["ocr"], "only_failed": False, "reset_dag_runs": True}
        self.ask("POST", f"dags/{dag}/clearTaskInstances", body)

    def start_worker(self, number: int) -> Worker:
        """A Celery worker."""
        worker = Worker(number, self._home, self._env)
        worker.start()
        self.workers.append(worker)
        return worker

    def runs(self, dag: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", f"dags/{dag}/dagRuns")["dag_runs"]
        return found


@contextmanager
def airflow(
    home: Path, s3: S3Server, endpoints: Mapping[str, str], more: Mapping[str, str] | None = None, workers: int = 0
) -> Iterator[Airflow]:
    """``endpoints``: a connection ``aigen_<name>`` for each name. ``more`` are environment variables. ``workers`` is
    the number of Celery workers, of two tasks each."""
    port = free_port()
    server = ApiServer(f"http://127.0.0.1:{port}")
    env = environment(**_settings(home, server.url, port) | _connections(s3, endpoints) | dict(more or {}))
    env["PYTHONPATH"] = str(ROOT)
    with (home / "migrate.log").open("wb") as output:
        subprocess.run([_BIN / "airflow", "db", "migrate"], env=env, stdout=output, stderr=output, check=True)
    with ExitStack() as stack:
        for part in ("api-server", "scheduler", "dag-processor"):
            arguments = [part, "--skip-serve-logs"] if part == "scheduler" else [part]
            log = home / f"{part}.log"
            running = stack.enter_context(process([str(_BIN / "airflow"), *arguments], log, env))
            if part == "api-server":
                wait_for(running, server.health, log, limit_s=_START_S)
        there = Airflow(server, home, env)
        for name in range(workers):
            stack.callback(there.start_worker(name).stop)
        until("DAGs", lambda: len(there.ask("GET", "dags")["dags"]) >= len(endpoints), limit_s=_START_S)
        yield there


def _settings(home: Path, url: str, port: int) -> dict[str, str]:
    return {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).resolve().parent / "dags"),
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__PARALLELISM": "6",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        # A worker that is gone is found out in seconds, not in minutes.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _connections(s3: S3Server, endpoints: Mapping[str, str]) -> dict[str, str]:
    found = {"AIRFLOW_CONN_AWS_DEFAULT": s3.airflow_connection()}
    for name, url in endpoints.items():
        extra = {"allow_http": True, "requests_per_second": 8}
        aigen = {"conn_type": "aigen", "host": url, "password": KEY, "extra": extra}
        found[f"AIRFLOW_CONN_AIGEN_{name.upper()}"] = json.dumps(aigen)
    return found
