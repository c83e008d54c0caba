# SPDX-License-Identifier: Apache-2.0
"""A server in a process of its own, on loopback: it comes up, is waited for, and is stopped.

The tests, the demo and the benchmarks start theirs here."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "ROOT",
    "START_TRIES",
    "ServerFailed",
    "binary",
    "environment",
    "free_port",
    "log_end",
    "process",
    "shown",
    "simulator_process",
    "wait_for",
]

ROOT = Path(__file__).resolve().parents[3]
START_TRIES = 3  # another process may take a port that was free
_BIN = Path(sys.executable).parent
_START_S = 60.0
_STOP_S = 20.0
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ServerFailed(RuntimeError):
    """A server did not come up; the message has the end of its log."""


def free_port() -> int:
    """A port that nothing listens to now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """This process's environment without a person's own settings of Airflow, AWS and proxies."""
    mine = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "AWS_", "PYTHONPATH")) and not name.lower().endswith("_proxy")
    }
    return {**mine, "PATH": f"{_BIN}{os.pathsep}{mine.get('PATH', os.defpath)}", "PYTHONUNBUFFERED": "1", **more}


@contextmanager
def process(
    command: list[str],
    log: Path,
    env: Mapping[str, str] | None = None,
    *,
    cwd: Path = ROOT,
    stop_s: float = _STOP_S,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run in a process group of its own, so that Ctrl-C reaches only this process, which stops the others in order: by
    SIGINT, which all that is started here understands; after ``stop_s`` seconds, what is left of it by SIGKILL."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        running = subprocess.Popen(
            command,
            env=environment() if env is None else dict(env),
            cwd=cwd,
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
    running: subprocess.Popen[bytes],
    url: str,
    log: Path,
    *,
    limit_s: float = _START_S,
    status: int = 200,
    ready: Callable[[bytes], bool] = lambda _: True,
) -> None:
    """Return once ``url`` answers with this status and a body that is ``ready``. Raises ``ServerFailed`` where the
    process ends before, or the time does."""
    deadline = time.monotonic() + limit_s
    while running.poll() is None and time.monotonic() < deadline:
        with suppress(OSError):
            if _answers(url, status, ready):
                return
        time.sleep(0.05)
    raise ServerFailed(f"{Path(str(running.args[0])).name} did not come up; the end of {shown(log)}:\n\n{log_end(log)}")


def _answers(url: str, status: int, ready: Callable[[bytes], bool]) -> bool:
    try:
        with _DIRECT.open(url, timeout=5) as answer:
            return answer.status == status and ready(answer.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code == status


def shown(path: Path) -> str:
    """A path as a reader in the project's folder would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def log_end(log: Path, lines: int = 25) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])


def binary(name: str, package: str) -> str:
    """Where a program is; ``package`` says how to get it."""
    beside = _BIN / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ServerFailed(f"{name} is not installed: {package}")
    return found


@contextmanager
def simulator_process(key: str, log: Path, *options: str) -> Iterator[str]:
    """The AIGEN endpoint of this machine in a process of its own; gives its base URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "airflow_provider_aigen.simulator", "--port", str(port), "--key", key, *options]
    with process(command, log) as running:
        wait_for(running, f"{url}/stats", log)
        yield url
