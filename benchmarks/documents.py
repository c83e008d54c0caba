# SPDX-License-Identifier: Apache-2.0
"""Documents per second, processor time per document and peak memory of the provider beside scripts that do less.

    python -m benchmarks.documents [DOCUMENTS LATENCY_MS ROUNDS]

A real S3 server and an endpoint, each a process of its own, images of 300 KB, 32 in flight. Every row runs in a process
of its own, the rows in turns; medians of the rounds. Ratios carry over to other machines, milliseconds don't.

The scripts keep no promise: none can be killed, none notices an object that was replaced, a limit, or an answer that is
no answer. `threads` is what one writes first: a pool of 32 threads with requests and boto3. `bare` reads through
obstore and calls through the same transport as the provider. `bare, 3 requests` also writes a claim and the answer.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import boto3
import requests
from botocore.config import Config
from obstore.store import S3Store

from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient
from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig
from airflow_provider_aigen.core.models import OutputSettings, RunIdentity
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.pipeline import Stop, run
from airflow_provider_aigen.runtime.assembly import PortSettings, open_ports
from benchmarks.endpoint import endpoint
from tests.kit.servers.s3 import seaweedfs
from tests.scans import scan

_IN_FLIGHT = 32
_IMAGE_BYTES = 300_000
_KEY = "key-of-a-benchmark"
_FAST = 1_000_000.0  # calls per second: no limit
_ROWS = ("threads", "bare", "bare, 3 requests", "provider")


class Job:
    """One row in its process: where everything is, and what it measured."""

    def __init__(self, s3: str, url: str, documents: int) -> None:
        self.s3, self.url, self.documents = s3, url, documents
        self.keys = [f"in/{number:05d}.jpg" for number in range(documents)]
        self.out = f"out-{uuid.uuid4().hex[:8]}"

    def client(self, connections: int) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.s3,
            aws_access_key_id="aigen-local",
            aws_secret_access_key="aigen-local-secret",  # noqa: S106 - of a server that lives for a minute
            region_name="us-east-1",
            config=Config(max_pool_connections=connections),
        )

    def threads(self) -> None:
        client, session = self.client(_IN_FLIGHT), requests.Session()
        session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=_IN_FLIGHT))

        def one(key: str) -> None:
            image = client.get_object(Bucket="scans", Key=key)["Body"].read()
            body = json.dumps({"image": base64.b64encode(image).decode()})
            answer = session.post(self.url, data=body, headers={"x-aigen-key": _KEY}, timeout=60)
            assert json.loads(answer.content)["status"] == "success"

        with ThreadPoolExecutor(_IN_FLIGHT) as pool:
            list(pool.map(one, self.keys))

    def bare(self, *, keep: bool = False) -> None:
        asyncio.run(self._bare(keep=keep))

    async def _bare(self, *, keep: bool) -> None:
        options: dict[str, Any] = {
            "endpoint": self.s3,
            "access_key_id": "aigen-local",
            "secret_access_key": "aigen-local-secret",
            "region": "us-east-1",
            "client_options": {"allow_http": True},
        }
        source, lake = S3Store("scans", **options), S3Store("lake", **options)
        async with HttpOcrClient(EndpointConfig(self.url, _KEY, allow_http=True), max_in_flight=_IN_FLIGHT) as ocr:

            async def one(key: str) -> None:
                image = (await (await source.get_async(key)).bytes_async()).to_bytes()
                if keep:
                    await lake.put_async(f"{self.out}/claims/{key}", b"{}", mode="create", use_multipart=False)
                result: Any = await ocr.call(b'{"image":"' + base64.b64encode(image) + b'"}')
                assert json.loads(result.body)["status"] == "success"
                if keep:
                    await lake.put_async(f"{self.out}/answers/{key}", result.body, mode="create", use_multipart=False)

            await _at_once(self.keys, one)

    def provider(self) -> None:
        asyncio.run(self._provider())

    async def _provider(self) -> None:
        destination, dead_letter = f"s3://lake/{self.out}/", f"s3://lake/{self.out}-dead/"
        settings = PortSettings(
            client=self.client(_IN_FLIGHT + 8),
            destination=destination,
            state=f"{destination}_aigen/",
            dead_letter=dead_letter,
            expected_bucket_owner=None,
            sse_kms_key_id=None,
            endpoint=EndpointConfig(self.url, _KEY, allow_http=True),
            requests_per_second=_FAST,
            max_in_flight=_IN_FLIGHT,
        )
        outputs = OutputSettings("vehicle-registration-book/v2", destination, dead_letter, "")
        facts: dict[str, Any] = {"bucket": "scans", "prefix": "in/", "matches": lambda key: key.endswith(".jpg")}
        request = PlanRequest(RunIdentity("books", "ocr", self.out), outputs, batch_size=500, **facts)
        async with open_ports(settings) as ports:
            report, _ = await run(request, ports, config=PipelineConfig(max_in_flight=_IN_FLIGHT), stop=Stop())
        assert report.extracted == self.documents, report


async def _at_once(keys: list[str], one: Callable[[str], Awaitable[None]]) -> None:
    left = iter(keys)

    async def worker() -> None:
        for key in left:
            await one(key)

    await asyncio.gather(*(worker() for _ in range(_IN_FLIGHT)))


def measure(row: str, s3: str, url: str, documents: int) -> None:
    """Print one row's figures as JSON: it is this process's."""
    job = Job(s3, url, documents)
    work = {"threads": job.threads, "bare": job.bare, "provider": job.provider}.get(row, lambda: job.bare(keep=True))
    base_kib, began, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic(), time.process_time()
    work()
    took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu
    peak_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base_kib) / 1024
    print(json.dumps([documents / took_s, cpu_s / documents * 1000, peak_mib]))


def main() -> None:
    """Every row in turns."""
    if sys.argv[1:2] == ["row"]:
        measure(sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5]))
        return
    documents, latency_ms, rounds = (int(text) for text in (*sys.argv[1:4], "500", "0", "5")[:3])
    with (
        tempfile.TemporaryDirectory() as folder,
        seaweedfs(Path(folder)) as server,
        endpoint(latency_ms / 1000, latency_ms / 1000) as ocr,
    ):
        client = server.client(max_pool_connections=8)
        for bucket in ("scans", "lake"):
            client.create_bucket(Bucket=bucket)
        image = scan({"color": "แดง"})
        for number in range(documents):
            body = image + os.urandom(_IMAGE_BYTES - len(image))  # behind its end: every image is another one
            client.put_object(Bucket="scans", Key=f"in/{number:05d}.jpg", Body=body)
        found: dict[str, list[list[float]]] = {row: [] for row in _ROWS}
        for _ in range(rounds):
            for row, figures in found.items():
                command = [sys.executable, "-m", "benchmarks.documents", "row", row, server.endpoint_url, ocr.url]
                done = subprocess.run([*command, str(documents)], check=True, capture_output=True, text=True)
                figures.append(json.loads(done.stdout.splitlines()[-1]))
    print(f"| {documents} documents, {latency_ms} ms | documents/s | CPU ms/document | peak MiB over its start |")
    print("|---|--:|--:|--:|")
    for row, figures in found.items():
        per_s, cpu_ms, peak = (median(values) for values in zip(*figures, strict=True))
        print(f"| {row} | {per_s:.0f} | {cpu_ms:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
