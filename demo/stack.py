# SPDX-License-Identifier: Apache-2.0
"""The demo's Airflow, and where the demo keeps things: one folder, loopback only, everything stopped on the way out."""

from __future__ import annotations

import fcntl
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from tests.kit.servers.process import ROOT, environment, free_port, log_end, process, shown, wait_for
from tests.kit.servers.s3 import S3Server

__all__ = ["API_KEY", "HOME", "Failed", "airflow", "airflow_environment", "airflow_ui", "only_one"]

HOME = ROOT / ".demo"
API_KEY = "demo-key-of-the-simulator"
_BIN = Path(sys.executable).parent
_AIRFLOW_START_S = 300.0  # some 20 s where nothing else runs


class Failed(Exception):
    """Ends the demo with a sentence instead of a traceback."""


@contextmanager
def only_one() -> Iterator[None]:
    """Hold the demo's folder, and turn signals into an orderly end."""
    ending = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def end(_signal: int, _frame: FrameType | None) -> None:
        for one in ending:  # a second one would break off the stopping of the services
            signal.signal(one, signal.SIG_IGN)
        raise KeyboardInterrupt

    for one in ending:
        signal.signal(one, end)
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed("the demo runs already (make demo or make up in another terminal?): stop it first") from None
        yield


def airflow_environment(s3: S3Server, aigen_url: str) -> dict[str, str]:
    """Everything that Airflow is told, connections included; a real one takes them from its UI or secrets backend."""
    aigen = {
        "conn_type": "aigen",
        "host": aigen_url,
        "password": API_KEY,
        "extra": {"allow_http": True, "requests_per_second": 50, "price_per_call": 1.5, "currency": "THB"},
    }
    home = HOME / "airflow"
    return environment(
        AIRFLOW_HOME=str(home),
        AIRFLOW__CORE__DAGS_FOLDER=str(ROOT / "dags"),
        AIRFLOW__CORE__LOAD_EXAMPLES="False",
        AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False",
        AIRFLOW__CORE__HOSTNAME_CALLABLE="socket.gethostname",
        AIRFLOW__CORE__PARALLELISM="4",
        AIRFLOW__LOGGING__BASE_LOG_FOLDER=str(home / "logs"),
        # Airflow hands each text in a connection's extra to its masking, and warns of one as short as "THB".
        AIRFLOW__LOGGING__MIN_LENGTH_MASKED_SECRET="3",  # noqa: S106 - a length
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        AIRFLOW_CONN_AIGEN_DEFAULT=json.dumps(aigen),
        AIRFLOW_CONN_AWS_DEFAULT=s3.airflow_connection(),
    )


def airflow(arguments: list[str], env: Mapping[str, str], log: Path) -> None:
    """One airflow command, its output into ``log``. Raises ``Failed`` with the end of it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"\n$ airflow {' '.join(arguments)}\n".encode())
        output.flush()
        done = subprocess.run(
            [_BIN / "airflow", *arguments], env=dict(env), cwd=ROOT, stdout=output, stderr=output, check=False
        )
    if done.returncode:
        why = [line for line in log_end(log, lines=200).splitlines() if re.match(r"[\w.]+(Error|Exception): ", line)]
        raise Failed(f"`airflow {' '.join(arguments)}`, see {shown(log)}:\n\n{why[-1] if why else log_end(log)}")


@contextmanager
def airflow_ui(env: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """A whole Airflow without a login; gives the UI's URL, and what a command line needs to talk to it. The API server
    comes first: tasks report to it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    health = f"{url}/api/v2/monitor/health"
    env = {
        **env,
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    }

    def log(part: str) -> Path:
        return HOME / "logs" / f"airflow-{part}.log"

    # Without their log servers, which listen to the network: the API server reads the files.
    quiet = {"scheduler": ["--skip-serve-logs"], "triggerer": ["--skip-serve-logs"]}
    with ExitStack() as stack:
        parts = []
        for part in ("api-server", "scheduler", "dag-processor", "triggerer"):
            command = [str(_BIN / "airflow"), part, *quiet.get(part, ())]
            parts.append(stack.enter_context(process(command, log(part), env)))
            if part == "api-server":
                wait_for(parts[0], health, log(part), limit_s=_AIRFLOW_START_S)
        wait_for(parts[0], health, log("scheduler"), limit_s=_AIRFLOW_START_S, ready=_all_healthy)
        try:
            yield url, env
        finally:
            for running in parts:  # all at once: each takes seconds to end
                running.send_signal(signal.SIGINT)


def _all_healthy(body: bytes) -> bool:
    health = json.loads(body)
    return all(
        health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor", "triggerer")
    )
