# SPDX-License-Identifier: Apache-2.0
"""The OCR endpoint in memory: answers by content, every code of the contract, and a journal of all calls.

``watch`` sees each call begin. What a content gets is written in its bytes, so that nobody has to be told.
Faults and troubles come on top of it (:mod:`.failures`).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.core.service.classify import classify
from airflow_provider_aigen.core.service.verdicts import Extracted, Failed, Refused, is_paid
from tests.kit import journal as kit
from tests.simulation.failures import PASSING_SHAPES, REFUSED, SHAPES, TROUBLES, Trouble, error, json_answer
from tests.simulation.loop import Process
from tests.simulation.network import Network

__all__ = ["ANSWERS", "HEALING", "NO_CALL", "PASSING", "POISON", "Call", "Endpoint", "content"]


def _field(value: str | None, confidence: Any) -> dict[str, Any]:
    return {"value": value, "bboxes": None, "bboxes_norm": None, "confidence": confidence}


_PAGE = {"model": _field("XYZ", 0.98), "province": _field("กรุงเทพมหานคร", 0.4)}
_PARTIAL = error("partial_content", "Partial content")
_BAD = error("bad_request", "Bad Request")
_NOT_FOUND = error("can_not_find_vehicle_registration_on_image", "can not find vehicle registration on image")
_PAGE_2 = error("internal_server_error", "Page 2 : Internal Server Error")
_PAGE_1_LATER = error("400", "Internal process error during extract image page: 1")

# kind → HTTP status, errors, pages
ANSWERS: dict[str, tuple[int, list[Any], list[Any]]] = {
    "success": (200, [None], [_PAGE]),
    "two-pages": (200, [None, None], [_PAGE, {"type": _field(None, None)}]),
    "partial": (206, [_PAGE_2, _PARTIAL], [_PAGE, {}]),
    "partial-left-out": (206, [_PAGE_2, _PARTIAL], [_PAGE]),
    "partial-not-found": (206, [_NOT_FOUND, _PARTIAL], [{}, _PAGE]),
    "partial-later": (206, [_PAGE_1_LATER, error("206", "Partial content")], [{}, _PAGE]),
    "no-page": (206, [_PARTIAL], [{}]),
    "no-data": (200, [], []),
    "1001": (400, [error("1001", None), _BAD], []),
    "1002": (400, [error(1002, None), _BAD], []),
    "1003": (400, [error("1003", None)], []),
    "not-found": (400, [_NOT_FOUND, _BAD], [{}]),
    "not-found-later": (400, [error("400", "Bad request")], [{}]),
    "20000": (413, [error("20000", "The request image base64 is too large.")], []),
    "20002": (422, [error("20002", "Cannot read specified image")], []),
    "unknown": (400, [error("7007", "somebody's name")], []),
}
POISON = tuple(f"poison-{shape}" for shape in PASSING_SHAPES)  # always this failure
PASSING = "passing"  # a 500 at the first call, then a success
NO_CALL = ("empty", "text")  # never sent
HEALING = {"heals": ("not-found", "success"), "heals-page": ("partial", "two-pages")}  # before and after ``heals_at``


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
def _read_image(image: bytes) -> tuple[str, str, int]:
    """SHA-256 of the image, its kind, and its size."""
    kind = image.partition(b"kind\0")[2].partition(b" ")[0].decode()
    return hashlib.sha256(image).hexdigest(), kind, len(image)


@dataclass(slots=True, eq=False)
class Call(kit.Call):
    """``paid``: a final answer was made; ``reply_lost``: it never left the service; ``after_keep``: it began when an
    answer for these bytes was kept already. ``sent`` is False where no connection could be made. As its sender saw it:
    ``final`` is an answer that is kept, ``throttled`` neither that nor a failure."""

    kind: str = ""
    image_bytes: int = 0
    reply_lost: bool = False
    after_keep: bool = False
    final: bool = False
    throttled: bool = False
    sent: bool = True
    status: int | None = None


class Endpoint:
    """``kept`` maps the SHA-256 of contents to the virtual time at which their answer was kept. It takes up to
    ``connect_s`` until a request can leave."""

    def __init__(self, network: Network, troubles: list[Trouble], connect_s: float = 0.0) -> None:
        self.network = network
        self.troubles = troubles
        self.connect_s = connect_s
        self.calls: list[Call] = []
        self.by_content: dict[str, list[Call]] = {}
        self.kept: dict[str, float] = {}
        self.heals_at = 0.0
        self.watch: Callable[[Call], None] = lambda _: None

    def client(self, process: Process) -> _Client:
        return _Client(self, process)

    def add(self, call: Call) -> None:
        self.watch(call)
        self.calls.append(call)
        self.by_content.setdefault(call.sha256, []).append(call)

    def trouble(self, *, connect: bool = False) -> Trouble | None:
        """The trouble that this call meets, if there is one; ``connect``: on its way, else when it is there."""
        now, rng = self.network.loop.now, self.network.rng
        for one in self.troubles:
            meets = (one.kind == "connect") is connect and one.start <= now < one.end
            if meets and (one.share >= 1 or rng.random() < one.share):
                return one
        return None

    def serve(self, call: Call) -> ApiResponse | CallFailure:
        """What happens once the request is there."""
        result = self._result(call)
        verdict = classify(result, image_bytes=call.image_bytes)
        call.perhaps_paid = call.reply_lost or is_paid(verdict)
        call.paid = call.reply_lost or isinstance(verdict, Extracted | Refused)
        return result

    def _result(self, call: Call) -> ApiResponse | CallFailure:
        hit, faults, rng = self.network.hit, self.network.faults, self.network.rng
        trouble = self.trouble()
        call.in_outage = trouble is not None and trouble.share >= 1
        if trouble is not None and trouble.kind in TROUBLES:
            return TROUBLES[trouble.kind]
        if trouble is not None:
            return SHAPES[rng.choice(PASSING_SHAPES) if trouble.kind == "any" else trouble.kind]
        if hit(faults.call_throttled):
            return ApiResponse(rng.choice((429, 503)), b"<html>", 0.2, "2")
        if hit(faults.call_failed):
            return SHAPES[rng.choice(PASSING_SHAPES)]
        response = self._answer(call)
        if isinstance(response, ApiResponse) and response.status in (200, 206):
            # No two answers are equal, as an OCR's are not: a row says which of them it came from.
            body = response.body.replace(b"0.98", b"0.9%05d" % len(self.calls))
            response = ApiResponse(response.status, body, response.latency_s)
        if isinstance(response, ApiResponse):
            call.body = response.body
        if hit(faults.call_reset) and isinstance(classify(response), Extracted | Refused):
            call.reply_lost = True
            kind = rng.choice((FailureKind.RESET, FailureKind.TIMEOUT, FailureKind.PROTOCOL))
            return CallFailure(kind, sent=True, latency_s=1.0)
        return response

    def _answer(self, call: Call) -> ApiResponse | CallFailure:
        if call.kind == PASSING:
            before = any(one.perhaps_paid for one in self.by_content[call.sha256])
            return _BODIES["success"] if before else SHAPES["500"]
        if call.kind in HEALING:
            before_it, after_it = HEALING[call.kind]
            return _BODIES[after_it if self.network.loop.now >= self.heals_at else before_it]
        if call.kind in _BODIES:
            return _BODIES[call.kind]
        return SHAPES[call.kind.removeprefix("poison-")]


class _Client:
    """``ports.OcrClient`` of one process."""

    def __init__(self, endpoint: Endpoint, process: Process) -> None:
        self._endpoint = endpoint
        self._process = process

    async def call(
        self, image: bytes, *, before_send: Callable[[], Awaitable[None]] | None = None
    ) -> ApiResponse | CallFailure:
        endpoint, network = self._endpoint, self._endpoint.network
        if endpoint.connect_s:
            await network.sleep(endpoint.connect_s * network.rng.random())
        if before_send is not None:
            await before_send()
        sha256, kind, size = _read_image(image)
        call = Call(sha256, network.loop.now, process=self._process, kind=kind, image_bytes=size)
        call.after_keep = sha256 in endpoint.kept
        endpoint.add(call)
        try:
            result = await self._send(call)
            verdict = classify(result, image_bytes=size)
            call.failed, call.final = isinstance(verdict, Failed), isinstance(verdict, Extracted | Refused)
            call.well = isinstance(verdict, Extracted) or (isinstance(verdict, Refused) and verdict.known)
            call.throttled = not (call.failed or call.final)
            call.status = result.status if isinstance(result, ApiResponse) else None
            return result
        finally:
            call.ended = network.loop.now

    async def _send(self, call: Call) -> ApiResponse | CallFailure:
        endpoint, network = self._endpoint, self._endpoint.network
        what = f"{call.kind} {call.sha256[:6]}"
        trouble = endpoint.trouble(connect=True)
        if trouble is not None or network.hit(network.faults.call_connect):
            call.in_outage = trouble is not None and trouble.share >= 1
            call.sent = False
            what += " (no connection)"
            return await network.request(self._process, "call", what, lambda: REFUSED, 0.0, 0.1)
        took = network.latency(network.faults.call_slow, 30.0) + network.rng.random()
        return await network.request(self._process, "call", what, lambda: endpoint.serve(call), 0.02, took)


_BODIES = {kind: json_answer(*answer) for kind, answer in ANSWERS.items()}
