# SPDX-License-Identifier: Apache-2.0
"""The contract's error objects, in both families, and the bodies they come in (contract, Codes and samples).

Messages are those of the samples. Where the contract gives a code but no message, the message of the same case in the
other family stands in.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Answer", "error_answer", "error_object", "general", "known_message", "not_found", "page_error"]

_SIZES = "(image must be base64 and image size must between 500x500 and 10000x10000)"
NOT_FOUND = "can_not_find_vehicle_registration_on_image"
_MESSAGES = {
    "1001": f"Too low image resolution {_SIZES}",
    "1002": f"Image quality not acceptable {_SIZES}",
    "1003": "Cannot read specified image",
    "20002": "Cannot read specified image",
    "20000": "The request image base64 is too large.",
    "2001": "Internal Error",
    "40001": "Internal Error",
    "40000": "Internal Error",
    NOT_FOUND: "can not find vehicle registration on image",
    "internal_server_error": "Page 1 : Internal Server Error",
    "bad_request": "Bad Request",
    "partial_content": "Partial content",
    "206": "Partial content",
    "400": "Bad request",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What goes out: an HTTP status, a body, and headers beside the usual ones."""

    status: int
    body: bytes
    code: str | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    content_type: str = "application/json"

    @classmethod
    def of_json(
        cls, status: int, data: Any, code: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """An answer with this JSON; ``code`` is only for the journal."""
        return cls(status, json.dumps(data, ensure_ascii=False).encode(), code, headers or {})


def known_message(code: str | None) -> str | None:
    """The vendor's sentence for a code, None for one that the contract doesn't list."""
    return _MESSAGES.get(code or "")


def error_object(code: str | None, message: str | None = None) -> dict[str, str | None]:
    """An ErrorObject; without a message, the one known for the code."""
    return {"object": "error", "code": code, "message": known_message(code) if message is None else message}


def not_found(codes: str, document: str) -> dict[str, str | None]:
    """No such document on this page. The contract knows v2's code for vehicle registrations only."""
    if codes == "later":
        return error_object("400")
    return error_object(NOT_FOUND if document == "vehicle-registration-book" else "bad_request")


def page_error(codes: str, number: int) -> dict[str, str | None]:
    """This page (from 1) broke the service."""
    if codes == "later":
        return error_object("400", f"Internal process error during extract image page: {number}")
    return error_object("internal_server_error", f"Page {number} : Internal Server Error")


def general(code: str | None) -> dict[str, str | None] | None:
    """The general error that stands after a specific one of a 400: none in the later family.

    After ``internal_server_error`` the samples have the same again, which is left to the caller.
    """
    return None if code in (None, "400", "bad_request") else error_object("bad_request")


def error_answer(status: int, errors: Sequence[dict[str, str | None] | None], data: Sequence[Any]) -> Answer:
    """An answer with errors, the most specific first."""
    code = next((e["code"] for e in errors if e is not None), None)
    return Answer.of_json(status, {"status": "error", "error": list(errors), "data": list(data)}, code)
