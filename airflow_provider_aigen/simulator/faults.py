# SPDX-License-Identifier: Apache-2.0
"""Calls that go wrong: which ones, and how it looks on the wire. What an answer of the contract says is not here."""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct

from aiohttp import web

from airflow_provider_aigen.simulator.chance import chance
from airflow_provider_aigen.simulator.codes import Answer, error_answer, error_object
from airflow_provider_aigen.simulator.options import FAULTS, Options

__all__ = ["BROKEN", "MALFORMED", "ImageState", "break_off", "fault_answer", "passing_fault", "send_cut"]

_OK = b'{"status": "success", "error": [], "data": [%s]}'
# Bodies with status 200 that are no answer of the contract.
MALFORMED: dict[str, bytes] = {
    "html": b"<!doctype html><title>Welcome</title><p>It works.",
    "empty": b"",
    "truncated_json": b'{"status": "success", "error": [], "data": [{"model": {"val',
    "not_an_object": b'["success"]',
    "invalid_utf8": _OK % b'{"model": {"value": "\xff\xfe", "confidence": 0.9}}',
    "too_deep": b"[" * 100_000 + b"]" * 100_000,
}
_PASSING_MALFORMED = ("html", "empty", "truncated_json", "not_an_object")
_PASSING_ERRORS = ("500", "502", "503", "504")
BROKEN = frozenset(("reset", "close", "cut", "hang"))
_GATEWAY = {
    502: b"<html><head><title>502 Bad Gateway</title></head><body>502 Bad Gateway</body></html>",
    504: b"<html><head><title>504 Gateway Time-out</title></head><body>504 Gateway Time-out</body></html>",
}


@dataclasses.dataclass(slots=True)
class ImageState:
    """What happened to these bytes so far."""

    calls: int = 0
    billed: int = 0
    failed_last: bool = False


def passing_fault(options: Options, sha256: str, state: ImageState) -> str | None:
    """The fault of this call, None for none. Decided by the seed, the bytes, and the number of calls with these bytes
    before it; after a fault the next call of the same bytes passes."""
    if state.failed_last:
        state.failed_last = False
        return None
    luck = chance(options.seed, sha256, state.calls, "fault")
    kind = chance(options.seed, sha256, state.calls, "kind")
    names: tuple[str, ...]
    for share, names in (
        (options.error_share, _PASSING_ERRORS),
        (options.reset_share, ("reset", "close", "cut")),
        (options.malformed_share, _PASSING_MALFORMED),
    ):
        if luck < share:
            state.failed_last = True
            return names[int(kind * len(names))]
        luck -= share
    return None


def fault_answer(fault: str, codes: str) -> Answer:
    """The body of a fault that has one: a gateway's or the service's 5xx, or a malformed 200. KeyError for others."""
    if fault in MALFORMED:
        content_type = "text/html" if fault == "html" else "application/json"
        return Answer(200, MALFORMED[fault], content_type=content_type)
    status = int(fault) if fault in FAULTS and fault not in BROKEN else 0
    if status in _GATEWAY:
        return Answer(status, _GATEWAY[status], content_type="text/html")
    later = {500: "40001", 503: "40000"}[status]
    # For an unavailable sub-service the contract knows the later code only.
    code = "2001" if codes == "v2" and status == 500 else later
    return error_answer(status, [error_object(code)], [])


def break_off(request: web.Request, *, reset: bool) -> None:
    """Ends the connection: with a reset, or in the ordinary way."""
    transport = request.transport
    if transport is None:
        return
    connection = transport.get_extra_info("socket")
    if reset and connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def send_cut(request: web.Request, answer: Answer) -> web.StreamResponse:
    """Sends the first half of an answer whose Content-Length promises all of it, and ends the connection."""
    response = web.StreamResponse(status=answer.status)
    response.content_type = answer.content_type
    response.content_length = len(answer.body)
    await response.prepare(request)
    await response.write(answer.body[: len(answer.body) // 2])
    await asyncio.sleep(0)  # the half has to be on its way before the connection ends
    if request.transport is not None:
        request.transport.close()
    return response
