# SPDX-License-Identifier: Apache-2.0
"""The rows of ``benchmarks.documents``: the provider, and scripts that do less.

The scripts keep no promise: none can be killed, none notices an object that was replaced, a limit, or an answer that is
no answer, and none writes a table. They read an object, call the endpoint, and look at the answer's status.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import uuid
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

__all__ = [
    "EXPERT",
    "EXPERT_SAME_REQUESTS",
    "IN_FLIGHT",
    "PROVIDER",
    "ROWS",
    "THREADS",
    "Job",
    "ocr_operator",
    "task_context",
]

THREADS = "pool of 32 threads, requests + boto3"
EXPERT = "bare script, obstore + Rust HTTP, uvloop"
EXPERT_SAME_REQUESTS = "that script with the protocol's S3 requests"
PROVIDER = "this provider"
IN_FLIGHT = 32
_KEY = "key-of-a-benchmark"
_ACCESS, _SECRET = "aigen-local", "aigen-local-secret"
_REQUESTS_PER_SECOND = 100_000.0  # the pace is kept, and never waited for


@dataclass(frozen=True)
class Job:
    """Where the documents ``<prefix>00000.jpg`` … are, and the endpoint. Nothing that a job writes meets another's."""

    s3: str
    url: str
    documents: int
    prefix: str = "in/"
    in_flight: int = IN_FLIGHT

    @property
    def keys(self) -> Iterable[str]:
        """Of all documents."""
        return (f"{self.prefix}{number:06d}.jpg" for number in range(self.documents))


def threads(job: Job) -> None:
    """What is written first: a pool of threads with requests and boto3."""
    import boto3  # noqa: PLC0415 - a row has only its own libraries in its memory
    import requests  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    client = boto3.client(
        "s3",
        endpoint_url=job.s3,
        aws_access_key_id=_ACCESS,
        aws_secret_access_key=_SECRET,
        region_name="us-east-1",
        config=Config(max_pool_connections=job.in_flight),
    )
    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=job.in_flight))

    def one(key: str) -> None:
        image = client.get_object(Bucket="scans", Key=key)["Body"].read()
        body = json.dumps({"image": base64.b64encode(image).decode()})
        answer = session.post(job.url, data=body, headers=_headers(), timeout=60)
        assert json.loads(answer.content)["status"] == "success"

    with ThreadPoolExecutor(job.in_flight) as pool:
        for _ in pool.map(one, job.keys):
            pass


def httpx_alone(job: Job) -> None:
    """obstore, and httpx as it comes."""
    import httpx  # noqa: PLC0415

    asyncio.run(_with_httpx(job, lambda limits: httpx.AsyncHTTPTransport(limits=limits)))


def httpx_over_aiohttp(job: Job) -> None:
    """obstore, and httpx over aiohttp's connections."""
    from httpx_aiohttp import AiohttpTransport  # noqa: PLC0415

    asyncio.run(_with_httpx(job, lambda limits: AiohttpTransport(limits=limits)))


async def _with_httpx(job: Job, transport: Callable[[Any], Any]) -> None:
    import httpx  # noqa: PLC0415

    limits = httpx.Limits(max_connections=job.in_flight, max_keepalive_connections=job.in_flight)
    async with httpx.AsyncClient(transport=transport(limits), timeout=60, headers=_headers()) as client:

        async def post(body: bytes) -> bytes:
            return (await client.post(job.url, content=body)).content

        await _bare(job, post, keep=False)


def rust(job: Job) -> None:
    """obstore, an HTTP client in Rust, uvloop."""
    import uvloop  # noqa: PLC0415

    uvloop.run(_with_rust(job, keep=False))


def rust_and_writes(job: Job) -> None:
    """The same with the S3 requests of the provider's protocol: a claim before the call, the answer after it."""
    import uvloop  # noqa: PLC0415

    uvloop.run(_with_rust(job, keep=True))


async def _with_rust(job: Job, *, keep: bool) -> None:
    from pyreqwest.client import ClientBuilder  # noqa: PLC0415

    async with ClientBuilder().default_headers(_headers()).build() as client:

        async def post(body: bytes) -> bytes:
            response = await client.post(job.url).body_bytes(body).build().send()
            return (await response.bytes()).to_bytes()

        await _bare(job, post, keep=keep)


async def _bare(job: Job, post: Callable[[bytes], Awaitable[bytes]], *, keep: bool) -> None:
    import orjson  # noqa: PLC0415
    import pybase64  # noqa: PLC0415
    from obstore.store import S3Store  # noqa: PLC0415

    options: dict[str, Any] = {
        "endpoint": job.s3,
        "access_key_id": _ACCESS,
        "secret_access_key": _SECRET,
        "region": "us-east-1",
        "client_options": {"allow_http": True},
    }
    source, lake = S3Store("scans", **options), S3Store("lake", **options)
    out = f"out-{uuid.uuid4().hex[:8]}"

    async def one(key: str) -> None:
        image = await (await source.get_async(key)).bytes_async()
        if keep:
            await lake.put_async(f"{out}/claims/{key}", b"{}", mode="create", use_multipart=False)
        answer = await post(b'{"image":"' + pybase64.b64encode(image) + b'"}')
        assert orjson.loads(answer)["status"] == "success"
        if keep:
            await lake.put_async(f"{out}/answers/{key}", answer, mode="create", use_multipart=False)

    left = iter(job.keys)

    async def worker() -> None:
        for key in left:
            await one(key)

    await asyncio.gather(*(worker() for _ in range(job.in_flight)))


def provider(job: Job) -> None:
    """The operator's ``execute``: hook, plan, preflight, pace, claims, answers, tables, report, metrics, progress."""
    done = ocr_operator(job).execute(task_context())
    assert done["extracted"] == job.documents, done


def ocr_operator(job: Job) -> Any:
    """The operator over the job's documents, with its connections in this process's environment."""
    aigen = {"allow_http": True, "requests_per_second": _REQUESTS_PER_SECOND}
    aws = {"endpoint_url": job.s3, "region_name": "us-east-1"}
    os.environ |= {
        "AIRFLOW_CONN_AIGEN_DEFAULT": json.dumps(
            {"conn_type": "aigen", "host": job.url, "password": _KEY, "extra": aigen}
        ),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps(
            {"conn_type": "aws", "login": _ACCESS, "password": _SECRET, "extra": aws}
        ),
    }
    from airflow_provider_aigen.operators.ocr import AigenOcrOperator  # noqa: PLC0415

    logging.getLogger("airflow_provider_aigen").setLevel(logging.INFO)
    out = uuid.uuid4().hex[:8]
    return AigenOcrOperator(
        task_id="ocr",
        source=f"s3://scans/{job.prefix}",
        destination=f"s3://lake/{out}/",
        dead_letter=f"s3://lake/{out}-dead/",
        max_in_flight=job.in_flight,
    )


def task_context() -> Any:
    """As much of a task's context as the operator needs."""
    instance = SimpleNamespace(dag_id="books", task_id="ocr", run_id=uuid.uuid4().hex[:8], map_index=-1)
    return {"ti": instance, "logical_date": datetime(2026, 11, 22, tzinfo=UTC)}


def _headers() -> dict[str, str]:
    return {"x-aigen-key": _KEY, "content-type": "application/json"}


ROWS: dict[str, Callable[[Job], None]] = {
    THREADS: threads,
    "bare script, obstore + httpx": httpx_alone,
    "bare script, obstore + httpx over aiohttp": httpx_over_aiohttp,
    EXPERT: rust,
    EXPERT_SAME_REQUESTS: rust_and_writes,
    PROVIDER: provider,
}
