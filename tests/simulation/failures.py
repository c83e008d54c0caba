# SPDX-License-Identifier: Apache-2.0
"""How the endpoint fails: every shape of a failure that may pass, and what stops a run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind

__all__ = ["PASSING_SHAPES", "REFUSED", "SHAPES", "STOPPING", "TROUBLES", "Trouble", "error", "json_answer"]

Result = ApiResponse | CallFailure


def error(code: Any, message: str | None) -> dict[str, Any]:
    """An ErrorObject of the contract."""
    return {"object": "error", "code": code, "message": message}


def json_answer(status: int, errors: list[Any], pages: list[Any]) -> ApiResponse:
    """An answer of the contract."""
    document = {"status": "success" if status == 200 else "error", "error": errors, "data": pages}
    return ApiResponse(status, json.dumps(document, ensure_ascii=False).encode(), 0.5)


def _html(status: int) -> ApiResponse:
    return ApiResponse(status, b"<html>what is this</html>", 0.2)


def _failure(kind: FailureKind) -> CallFailure:
    return CallFailure(kind, sent=True, latency_s=1.0)


_PAGE_1 = error("internal_server_error", "Page 1 : Internal Server Error")

REFUSED = CallFailure(FailureKind.CONNECT, sent=False, latency_s=0.1)
"""No connection could be made."""

SHAPES: dict[str, Result] = {
    "500": json_answer(500, [error("40001", None)], []),
    "html-500": _html(500),
    "html-502": _html(502),
    "503": _html(503),
    "408": _html(408),
    "html-200": _html(200),
    "html-400": _html(400),
    "html-403": _html(403),
    "html-413": _html(413),
    "empty": ApiResponse(200, b"", 0.2),
    "not-json": ApiResponse(200, b'{"status": "success", "data": [', 0.2),
    "page-400": json_answer(400, [_PAGE_1, error("bad_request", "Bad Request")], [{}]),
    "page-206": json_answer(206, [_PAGE_1, error("partial_content", "Partial content")], [{}]),
    "service-code": json_answer(400, [error("2001", None)], []),
    "reset": _failure(FailureKind.RESET),
    "timeout": _failure(FailureKind.TIMEOUT),
    "protocol": _failure(FailureKind.PROTOCOL),
    "too-large": _failure(FailureKind.TOO_LARGE),
}
"""Failures that may pass, and may stick to a document."""

PASSING_SHAPES = tuple(SHAPES)

TROUBLES: dict[str, Result] = {
    "401": json_answer(401, [error("unauthorized", None)], []),
    "402": json_answer(402, [error("insufficient_credit", None)], []),
    "403": json_answer(403, [error("forbidden", None)], []),
    "404": _html(404),
    "429": _html(429),
    "quota-403": json_answer(403, [error("quota_exceeded", None)], []),
    "quota-429": json_answer(429, [error("credit_exhausted", None)], []),
    "connect": REFUSED,
}
"""What else all calls may meet for a time."""


STOPPING = ("401", "402", "403", "404", "429", "quota-403", "quota-429")
"""Those after which no retry helps before somebody mends the key or the account."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """From ``start`` to ``end`` a ``share`` of all calls fails. ``kind`` is one of the shapes or troubles, or ``any``
    for another shape each time."""

    start: float
    end: float
    kind: str
    share: float = 1.0
