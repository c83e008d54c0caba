# SPDX-License-Identifier: Apache-2.0
"""The OCR endpoint in memory: answers by content, every code of the contract, and a journal of all calls.

``watch`` sees each call begin. What a content gets is written in its bytes, so that nobody has to be told.
Faults and outages come on top of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.core.service.classify import Extracted, Refused, ServiceFailed, classify
from tests.kit import journal as kit
from tests.simulation.loop import Process
from tests.simulation.network import Network

__all__ = ["ANSWERS", "NO_CALL", "POISON", "Call", "Endpoint", "Outage", "content"]


def _field(value: str | None, confidence: Any) -> dict[str, Any]:
    return {"value": value, "bboxes": None, "bboxes_norm": None, "confidence": confidence}


def _error(code: Any, message: str | None) -> dict[str, Any]:
    return {"object": "error", "code": code, "message": message}


_PAGE = {"model": _field("XYZ", 0.98), "province": _field("กรุงเทพมหานคร", 0.4)}
_PARTIAL = _error("partial_content", "Partial content")
_BAD = _error("bad_request", "Bad Request")
_NOT_FOUND = _error("can_not_find_vehicle_registration_on_image", "can not find vehicle registration on image")
_PAGE_2 = _error("internal_server_error", "Page 2 : Internal Server Error")
_PAGE_1_LATER = _error("400", "Internal process error during extract image page: 1")

# kind → (HTTP status, errors, pages), or None for what is no JSON
ANSWERS: dict[str, tuple[int, list[Any], list[Any]] | None] = {
    "success": (200, [None], [_PAGE]),
    "two-pages": (200, [None, None], [_PAGE, {"type": _field(None, None)}]),
    "partial": (206, [_PAGE_2, _PARTIAL], [_PAGE, {}]),
    "partial-not-found": (206, [_NOT_FOUND, _PARTIAL], [{}, _PAGE]),
    "partial-later": (206, [_PAGE_1_LATER, _error("206", "Partial content")], [{}, _PAGE]),
    "no-page": (206, [_PARTIAL], [{}]),
    "no-data": (200, [], []),
    "1001": (400, [_error("1001", None), _BAD], []),
    "1002": (400, [_error(1002, None), _BAD], []),
    "1003": (400, [_error("1003", None)], []),
    "not-found": (400, [_NOT_FOUND, _BAD], [{}]),
    "not-found-later": (400, [_error("400", "Bad request")], [{}]),
    "20000": (413, [_error("20000", "The request image base64 is too large.")], []),
    "20002": (422, [_error("20002", "Cannot read specified image")], []),
    "unknown": (400, [_error("7007", "somebody's name")], []),
    "malformed": None,
    "page-error": (400, [_error("internal_server_error", "Page 1 : Internal Server Error"), _BAD], [{}]),
}
_RETRIED = ("malformed", "page-error")  # answers that may come out otherwise: repeated within the budget, then final
POISON = "poison"  # always a 500
PASSING = "passing"  # a 500 at the first call, then a success
NO_CALL = ("empty", "text")  # never sent


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


_PNG = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(">IIBBBBB", 600, 700, 8, 2, 0, 0, 0))
_IEND = _chunk(b"IDAT", zlib.compress(b"")) + _chunk(b"IEND", b"")


def content(kind: str, number: int) -> bytes:
    """The bytes of an image of this kind; equal for equal arguments."""
    if kind == "empty":
        return b""
    if kind == "text":
        return b"no image, number %d" % number
    return _PNG + _chunk(b"tEXt", f"kind\0{kind} {number}".encode()) + _IEND


@lru_cache(maxsize=4096)
def _read_request(body: bytes) -> tuple[str, str]:
    """SHA-256 of the image, and its kind."""
    image = base64.b64decode(json.loads(body)["image"], validate=True)
    return hashlib.sha256(image).hexdigest(), image.partition(b"kind\0")[2].partition(b" ")[0].decode()


@dataclass(slots=True, eq=False)
class Call(kit.Call):
    """``paid``: a final answer was made; ``reply_lost``: it never left the service; ``after_keep``: it began when an
    answer for these bytes was kept already."""

    kind: str = ""
    reply_lost: bool = False
    after_keep: bool = False
    claimed_until: float = 0.0


@dataclass(frozen=True, slots=True)
class Outage:
    start: float
    end: float
    kind: str  # 500, 503, connect, reset, 401, 429


class Endpoint:
    """``kept`` maps the SHA-256 of contents to the virtual time at which their answer was kept."""

    def __init__(self, network: Network, outages: list[Outage]) -> None:
        self.network = network
        self.outages = outages
        self.calls: list[Call] = []
        self.kept: dict[str, float] = {}
        self.watch: Callable[[Call], None] = lambda _: None

    def client(self, process: Process) -> _Client:
        return _Client(self, process)

    def outage(self) -> str | None:
        now = self.network.loop.now
        return next((outage.kind for outage in self.outages if outage.start <= now < outage.end), None)

    def serve(self, call: Call) -> ApiResponse | CallFailure:
        """What happens once the request is there."""
        outage = self.outage()
        call.in_outage = outage is not None
        hit, faults = self.network.hit, self.network.faults
        if outage is None and hit(faults.call_throttled):
            return _plain(self.network.rng.choice((429, 503)), "2")
        if outage in ("401", "429", "503"):
            return _plain(int(outage))
        if outage == "500" or hit(faults.call_failed):
            call.perhaps_paid = True
            return self.network.rng.choice((_plain(500), _OVERLOADED))
        call.perhaps_paid = True
        lost = outage == "reset" or hit(faults.call_reset)
        response = _answer(call.kind, [one for one in self.calls if one.sha256 == call.sha256 and one is not call])
        # No two answers are equal, as an OCR's are not: a row tells which of them it came from.
        body = response.body.replace(b"0.98", b"0.9%05d" % len(self.calls))
        response = ApiResponse(response.status, body, response.latency_s)
        call.body = response.body
        call.paid = response.status != 500 and call.kind not in _RETRIED
        call.reply_lost = lost
        if lost:
            kind = self.network.rng.choice((FailureKind.RESET, FailureKind.TIMEOUT, FailureKind.PROTOCOL))
            return CallFailure(kind, sent=True, latency_s=1.0)
        return response


class _Client:
    """``ports.OcrClient`` of one process."""

    def __init__(self, endpoint: Endpoint, process: Process) -> None:
        self._endpoint = endpoint
        self._process = process

    async def call(
        self, body: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None
    ) -> ApiResponse | CallFailure:
        if before_send is not None:
            await before_send()
        endpoint, network = self._endpoint, self._endpoint.network
        sha256, kind = _read_request(body)
        call = Call(sha256, network.loop.now, process=self._process, kind=kind, after_keep=sha256 in endpoint.kept)
        endpoint.watch(call)
        endpoint.calls.append(call)
        try:
            result = await self._send(call)
            verdict = classify(result)
            call.failed, call.well = isinstance(verdict, ServiceFailed), isinstance(verdict, (Extracted, Refused))
            return result
        finally:
            call.ended = network.loop.now

    async def _send(self, call: Call) -> ApiResponse | CallFailure:
        endpoint, network = self._endpoint, self._endpoint.network
        what = f"{call.kind} {call.sha256[:6]}"
        if endpoint.outage() == "connect" or network.hit(network.faults.call_connect):
            call.in_outage = endpoint.outage() is not None
            what += " (no connection)"
            return await network.request(self._process, "call", what, lambda: _REFUSED, 0.0, 0.1)
        took = network.latency(network.faults.call_slow, 30.0) + network.rng.random()
        return await network.request(self._process, "call", what, lambda: endpoint.serve(call), 0.02, took)


def _plain(status: int, retry_after: str | None = None) -> ApiResponse:
    return ApiResponse(status, b"<html>", 0.2, retry_after)


def _json(status: int, errors: list[Any], pages: list[Any]) -> ApiResponse:
    document = {"status": "success" if status == 200 else "error", "error": errors, "data": pages}
    return ApiResponse(status, json.dumps(document, ensure_ascii=False).encode(), 0.5)


_REFUSED = CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.1)
_OVERLOADED = _json(500, [_error("40001", None)], [])
_MALFORMED = ApiResponse(200, b"<html>what is this</html>", 0.5)
_BODIES = {kind: _json(*answer) for kind, answer in ANSWERS.items() if answer is not None}


def _answer(kind: str, before: list[Call]) -> ApiResponse:
    if kind == POISON or (kind == PASSING and not any(call.perhaps_paid for call in before)):
        return _OVERLOADED
    if kind == PASSING:
        return _BODIES["success"]
    return _BODIES.get(kind, _MALFORMED)
