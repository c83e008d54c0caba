# SPDX-License-Identifier: Apache-2.0
"""A plan of many objects beside the bare listing by the same client, and how long the event loop stands still.

    python benchmarks/listing.py [OBJECTS]

A server of its own process lists objects that it makes up; the state is in memory. All of it runs in one process, one
after the other. A stall is the processor time that the loop's thread takes between two turns of another task.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
from botocore.config import Config

from airflow_provider_aigen.adapters.ledger import DiskLedger
from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from airflow_provider_aigen.core.folding import ID_BYTES
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.pipeline import plan_stage
from airflow_provider_aigen.ports import Ports
from tests.kit.store import MemoryStore
from tests.kit.world import SETTINGS, World, ports_over

_PAGE = 1000
_ITEM = (
    "<Contents><Key>in/2026/11/{0:08d}.jpg</Key><LastModified>2026-11-{1:02d}T07:00:00.000Z</LastModified>"
    "<ETag>&quot;{0:032x}&quot;</ETag><Size>300000</Size><StorageClass>STANDARD</StorageClass></Contents>"
)


class _Pages(BaseHTTPRequestHandler):
    """ListObjectsV2 of a bucket with ``objects`` objects."""

    protocol_version = "HTTP/1.1"
    objects = 0

    def do_GET(self) -> None:
        """One page."""
        first = int(parse_qs(urlsplit(self.path).query).get("continuation-token", ["0"])[0])
        last = min(first + _PAGE, self.objects)
        more = last < self.objects
        body = (
            '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>scans</Name><Prefix>in/</Prefix><KeyCount>{last - first}</KeyCount><MaxKeys>{_PAGE}</MaxKeys>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>"
            + (f"<NextContinuationToken>{last}</NextContinuationToken>" if more else "")
            + "".join(_ITEM.format(number, number * 7 % 28 + 1) for number in range(first, last))
            + "</ListBucketResult>"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def serve(objects: int) -> None:
    """Serve until killed; the port is the first line."""
    _Pages.objects = objects
    server = HTTPServer(("127.0.0.1", 0), _Pages)
    print(server.server_port, flush=True)
    server.serve_forever()


async def measured(name: str, work: Callable[[], Awaitable[int]], bare: float | None = None) -> float:
    """Print what ``work`` takes; returns its seconds of processor time."""
    stalls = [0.0]

    async def others() -> None:
        before = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            stalls.append(now - before)
            before = now
            await asyncio.sleep(0.002)
            before = time.thread_time()

    task = asyncio.ensure_future(others())
    wall, began = time.perf_counter(), time.process_time()
    count = await work()
    cpu, wall = time.process_time() - began, time.perf_counter() - wall
    task.cancel()
    ratio = f", {cpu / bare:.2f} of the bare listing" if bare else ""
    print(
        f"{name:28} {count} objects: {cpu:.1f} s of processor time{ratio}, {cpu / count * 1e6:.1f} µs per object, "
        f"{wall:.1f} s; longest stall {max(stalls) * 1000:.0f} ms",
        flush=True,
    )
    return cpu


def ports(source: S3ObjectStore, world: World, **others: Any) -> Ports:
    """Those of a task: state in memory, source on the server."""
    made = ports_over(
        MemoryStore(), SETTINGS, ocr=world.ocr, limiter=world.limiter, clock=world.clock, writer_id="w", **others
    )
    return replace(made, source=source)


async def main(port: int) -> None:
    """The bare listing, then plans."""
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="y",  # noqa: S106 - the server looks at none
        config=Config(s3={"addressing_style": "path"}),
    )
    store, world = S3ObjectStore(client), World()

    def request(name: str, **changes: Any) -> PlanRequest:
        facts: dict[str, Any] = {"bucket": "scans", "prefix": "in/", "matches": lambda key: key.startswith("in/")}
        return PlanRequest(RunIdentity("books", "ocr", name), SETTINGS, batch_size=500, **(facts | changes))

    async def listing() -> int:
        count = 0
        async for _ in store.list("scans", "in/"):
            count += 1
        return count

    async def all_new(**changes: Any) -> int:
        return (await plan_stage(request("new", **changes), ports(store, world, new_ledger=DiskLedger))).documents

    ids: list[bytes] = []

    async def all_done() -> int:
        def ledger() -> DiskLedger:
            made = DiskLedger()
            made.add_sorted(b"".join(ids))
            return made

        return (await plan_stage(request("done"), ports(store, world, new_ledger=ledger))).already_done

    bare = await measured("bare listing", listing)
    await measured("plan, all new", all_new, bare)
    await measured("plan, all new, newest first", lambda: all_new(newest_first=True), bare)
    listed: AsyncIterator[Any] = store.list("scans", "in/")
    async with aclosing(listed):  # type: ignore[type-var]
        ids += sorted([bytes.fromhex(one.document_id) async for one in listed])
    assert all(len(one) == ID_BYTES for one in ids)
    await measured("plan, all done", all_done, bare)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    else:
        count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
        with subprocess.Popen([sys.executable, __file__, "serve", str(count)], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            try:
                asyncio.run(main(int(server.stdout.readline())))
            finally:
                server.kill()
