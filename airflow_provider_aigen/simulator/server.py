# SPDX-License-Identifier: Apache-2.0
"""The endpoint over HTTP: one call in, one answer out, each step in the module that is named for it.

Beside the vendor's path there are four of its own, without a key: `GET /stats`, `GET /journal`, `POST /control`,
`POST /reset`. The log has one line per call: number, document type, status, code, seconds. No key, no value, no image.
"""

from __future__ import annotations

import asyncio
import binascii
import collections
import contextlib
import dataclasses
import hashlib
import json
import logging
import time
from typing import Any

import pybase64
from aiohttp import web

from airflow_provider_aigen.simulator.answers import answer, marked_answer, unreadable
from airflow_provider_aigen.simulator.chance import chance
from airflow_provider_aigen.simulator.codes import Answer, error_answer, error_object
from airflow_provider_aigen.simulator.faults import (
    BROKEN,
    MALFORMED,
    ImageState,
    break_off,
    fault_answer,
    passing_fault,
    send_cut,
)
from airflow_provider_aigen.simulator.gate import Gate
from airflow_provider_aigen.simulator.images import Scan, read_scan
from airflow_provider_aigen.simulator.options import Options
from airflow_provider_aigen.simulator.stats import Call, Stats
from airflow_provider_aigen.simulator.truth import Marker

__all__ = ["Simulator"]

MAX_BODY_BYTES = 64 * 1024 * 1024
SCANS_KEPT = 10_000
HANG_LOOK_S = 0.1  # how often a call that gets no answer looks whether its sender is still there
log = logging.getLogger(__name__)


class Simulator:
    """`await start()`, then calls go to ``url``; `await stop()`. All of it on one event loop, also what reads `stats`:
    from another thread use `running_simulator`. ``options`` are those of `Options`; ValueError names a wrong one."""

    def __init__(self, options: Options | None = None) -> None:
        self.options = options or Options()
        self._stats = Stats()
        self._gate = Gate()
        self._scans: collections.OrderedDict[str, Scan] = collections.OrderedDict()
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()
        self._port = self.options.port

    async def start(self) -> None:
        """Listens. OSError where the port is taken. A stopped one starts again, on the port that it had."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/aiscript/{document}/{version}", self._call)
        app.router.add_get("/stats", self._get_stats)
        app.router.add_get("/journal", self._get_journal)
        app.router.add_post("/control", self._post_control)
        app.router.add_post("/reset", self._post_reset)
        self._stopping.clear()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.options.host, self._port, reuse_address=True, backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]
        self._stats.since = time.monotonic()

    async def stop(self) -> None:
        """Stops listening and ends what is in flight."""
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """The base URL, for the connection's host."""
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        return f"http://{host}:{self._port}"

    def stats(self) -> dict[str, Any]:
        """What `GET /stats` says."""
        return self._stats.shown(time.monotonic(), self.options.price_per_call)

    def journal(self) -> list[dict[str, Any]]:
        """What `GET /journal` says: the calls that have ended, in the order in which they did."""
        return [dataclasses.asdict(call) for call in self._stats.journal]

    def control(self, **changes: Any) -> dict[str, Any]:
        """Changes options from the next call on; returns all of them. ValueError for one that isn't right."""
        self.options = self.options.changed(changes)
        return self.options.shown()

    def reset(self) -> None:
        """Forgets all calls, the pace and the credit taken; options stay."""
        self._stats.reset(time.monotonic())
        self._gate.reset()

    async def _get_stats(self, _: web.Request) -> web.Response:
        return web.json_response(self.stats())

    async def _get_journal(self, _: web.Request) -> web.Response:
        return web.json_response(self.journal())

    async def _post_control(self, request: web.Request) -> web.Response:
        try:
            changes = await request.json()
            if not isinstance(changes, dict):
                raise ValueError("a JSON object of options")  # noqa: TRY004, TRY301 — answered like the others, below
            return web.json_response(self.control(**changes))
        except ValueError as error:  # bad JSON is one as well
            return web.json_response({"message": str(error)}, status=400)

    async def _post_reset(self, _: web.Request) -> web.Response:
        self.reset()
        return web.json_response({})

    async def _call(self, request: web.Request) -> web.StreamResponse:
        document_type = f"{request.match_info['document']}/{request.match_info['version']}"
        call = self._stats.start(time.monotonic(), document_type if document_type in self.options.documents else "")
        try:
            return await self._answered(request, call, document_type)
        finally:
            self._stats.end(call, time.monotonic())
            log.info(
                "call %d %s: %s %s, %.3f s", call.n, call.document_type, call.status, call.code or "", call.duration
            )

    async def _answered(self, request: web.Request, call: Call, document_type: str) -> web.StreamResponse:
        call.status = "interrupted"  # until it is known what it gets: its sender may be gone before
        options, uptime_s = self.options, call.started_at - self._stats.since
        if document_type not in options.documents:
            return await self._turned_away(request, call, Answer.of_json(404, {"message": "Not Found"}))
        if request.method != "POST":
            refused = Answer.of_json(405, {"message": "Method Not Allowed"}, None, {"Allow": "POST"})
            return await self._turned_away(request, call, refused)
        if self._gate.in_outage(options, nth_call=call.n, uptime_s=uptime_s):
            await request.read()
            return await self._faulty(request, call, options.outage_fault)
        refusal = self._gate.refusal(options, key=request.headers.get("x-aigen-key"), now=call.started_at)
        if refusal is not None:
            return await self._turned_away(request, call, refusal)
        try:
            return await self._served(request, call, options)
        finally:
            if not call.billed:
                self._gate.give_back()

    async def _turned_away(self, request: web.Request, call: Call, answer: Answer) -> web.StreamResponse:
        await request.read()  # a client that is still sending would see a reset instead of the answer
        self._stats.judge(call, answer.status, answer.code, answered=False)
        return _response(answer)

    async def _served(self, request: web.Request, call: Call, options: Options) -> web.StreamResponse:
        try:
            image = image_in(await request.read())
        except web.HTTPRequestEntityTooLarge:
            image = None
            said = error_answer(413, [error_object("20000")], [])
        else:
            said = unreadable(options.codes)
        if image:
            sha256 = hashlib.sha256(image).hexdigest()
            state = self._stats.image(call, sha256)
            scan = self._scan(sha256, image)
            marker = _document_marker(scan, state)
            fault = marker.fault if marker is not None else passing_fault(options, sha256, state)
            if fault is not None:
                await self._latency(options, sha256, state)
                return await self._faulty(request, call, fault)
            said = self._said(scan, marker, call, options, sha256=sha256, nth=state.calls)
            self._stats.judge(call, said.status, said.code, answered=True)
            if said.status >= 500:
                self._stats.may_be_billed(call)
            await self._latency(options, sha256, state)
        else:
            self._stats.judge(call, said.status, said.code, answered=True)
        return _response(said)

    def _said(
        self, scan: Scan, marker: Marker | None, call: Call, options: Options, *, sha256: str, nth: int
    ) -> Answer:
        if marker is not None:
            return marked_answer(marker, scan, codes=options.codes, seed=options.seed, sha256=sha256)
        document = call.document_type.partition("/")[0]
        return answer(scan, document=document, codes=options.codes, seed=options.seed, sha256=sha256, nth=nth)

    def _scan(self, sha256: str, image: bytes) -> Scan:
        scan = self._scans.pop(sha256, None) or read_scan(image)
        self._scans[sha256] = scan
        if len(self._scans) > SCANS_KEPT:
            self._scans.popitem(last=False)
        return scan

    async def _latency(self, options: Options, sha256: str, state: ImageState) -> None:
        swing = 2 * chance(options.seed, sha256, state.calls, "latency") - 1
        await self._pause(options.latency_ms / 1000 * (1 + options.latency_jitter * swing))

    async def _pause(self, seconds: float) -> None:
        """Waits, but no longer than the simulator runs."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _faulty(self, request: web.Request, call: Call, fault: str) -> web.StreamResponse:
        self._stats.may_be_billed(call)
        if fault not in BROKEN:
            said = fault_answer(fault, self.options.codes)
            self._stats.judge(call, said.status, "malformed" if fault in MALFORMED else said.code, answered=False)
            return _response(said)
        self._stats.judge(call, fault, None, answered=False)
        if fault == "cut":
            return await send_cut(request, Answer(200, b'{"status": "success", "error": [], "data": [{"model": {}}]}'))
        if fault == "hang":
            while request.transport is not None and not request.transport.is_closing() and not self._stopping.is_set():
                await self._pause(HANG_LOOK_S)
        break_off(request, reset=fault == "reset")
        return web.Response()  # goes nowhere: the connection is gone


def image_in(body: bytes) -> bytes | None:
    """The bytes in `{"image": base64}`; None where the body isn't that."""
    try:
        data = json.loads(body)
        return pybase64.b64decode(data["image"], validate=True)
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        return None


def _document_marker(scan: Scan, state: ImageState) -> Marker | None:
    """The marker that asks for the whole answer; one that breaks a page is that page's own affair."""
    truth = scan.pages[0].truth if scan.pages else None
    marker = truth.simulate if truth is not None else None
    return marker if marker is not None and not marker.page_error and marker.applies(state.calls) else None


def _response(said: Answer) -> web.Response:
    return web.Response(status=said.status, body=said.body, headers=dict(said.headers), content_type=said.content_type)
