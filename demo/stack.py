# SPDX-License-Identifier: Apache-2.0
"""What the demo starts and where it keeps things: one folder, loopback only, everything stopped on the way out."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seaweedfs import S3Server

__all__ = [
    "HOME",
    "ROOT",
    "Failed",
    "airflow",
    "airflow_environment",
    "airflow_ui",
    "environment",
    "free_port",
    "only_one",
    "process",
    "simulator",
    "wait_for",
]

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".demo"
API_KEY = "demo-key-of-the-simulator"
_BIN = Path(sys.executable).parent
_STOP_S = 20.0
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


def free_port() -> int:
    """A port that nothing listens to."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """This process's environment without settings of Airflow, AWS and proxies that are not the demo's."""
    mine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "AWS_", "PYTHONPATH")) and not name.lower().endswith("_proxy")
    }
    return {**mine, "PATH": f"{_BIN}{os.pathsep}{mine.get('PATH', os.defpath)}", "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def simulator() -> Iterator[str]:
    """The AIGEN endpoint of this machine; gives its base URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "airflow_provider_aigen.simulator", "--port", str(port), "--key", API_KEY]
    log = HOME / "logs" / "simulator.log"
    with process(command, log, environment()) as running:
        wait_for(running, f"{url}/stats", 30, log)
        yield url


def airflow_environment(s3: S3Server, aigen_url: str) -> dict[str, str]:
    """Everything that Airflow is told, connections included; a real one takes them from its UI or secrets backend."""
    aigen = {
        "conn_type": "aigen",
        "host": aigen_url,
        "password": API_KEY,
        "extra": {"allow_http": True, "requests_per_second": 50},
    }
    aws = {
        "conn_type": "aws",
        "login": s3.access_key,
        "password": s3.secret_key,
        "extra": {"endpoint_url": s3.endpoint_url, "region_name": s3.region},
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
        AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
        AIRFLOW_CONN_AIGEN_DEFAULT=json.dumps(aigen),
        AIRFLOW_CONN_AWS_DEFAULT=json.dumps(aws),
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
        why = [line for line in _end(log, lines=200).splitlines() if re.match(r"[\w.]+(Error|Exception): ", line)]
        raise Failed(f"`airflow {' '.join(arguments)}`, see {shown(log)}:\n\n{why[-1] if why else _end(log)}")


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
                wait_for(parts[0], health, _AIRFLOW_START_S, log(part))
        wait_for(parts[0], health, _AIRFLOW_START_S, log("scheduler"), ready=_all_healthy)
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


@contextmanager
def process(
    command: list[str], log: Path, env: Mapping[str, str], *, stop_s: float = _STOP_S
) -> Iterator[subprocess.Popen[bytes]]:
    """Run in a process group of its own, so that Ctrl-C reaches only this process, which stops the others in order: by
    SIGINT, which all that is started here understands; after ``stop_s`` seconds, what is left of it by SIGKILL."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        running = subprocess.Popen(
            command,
            env=dict(env),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield running
    finally:
        running.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.wait(stop_s)
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def wait_for(
    running: subprocess.Popen[bytes], url: str, limit_s: float, log: Path, ready: Callable[[bytes], bool] = bool
) -> None:
    """Return once what ``url`` answers is ``ready``. Raises ``Failed`` with the end of ``log`` where the process ends
    before, or the time does."""
    deadline = time.monotonic() + limit_s
    while running.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
                if ready(answer.read()):
                    return
        except (OSError, urllib.error.URLError):
            pass
        time.sleep(0.2)
    raise Failed(f"{Path(str(running.args[0])).name} did not come up; the end of {shown(log)}:\n\n{_end(log)}")


def shown(path: Path) -> str:
    """A path as a reader in the project's folder would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _end(log: Path, lines: int = 25) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
