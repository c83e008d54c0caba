# SPDX-License-Identifier: Apache-2.0
"""Error codes: the contract's, read with their messages, and the few that the provider adds.

A code is kept as it came, whatever it is. What it means is decided here and nowhere else, for both families of the
contract. Of the messages only the contract's own sentences pass: anything else may hold what stands on a document.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from airflow_provider_aigen.core.models import ApiError

__all__ = [
    "ACCESS_REFUSED",
    "DAMAGED_STATE",
    "EMPTY_OBJECT",
    "HTTP_413",
    "MALFORMED_RESPONSE",
    "NO_CONTENT",
    "SERVICE_ERROR",
    "SIDE_TOO_LONG",
    "SIDE_TOO_SHORT",
    "TOO_LARGE",
    "UNDECODABLE_CONTENT",
    "UNSUPPORTED_MEDIA_TYPE",
    "Meaning",
    "contract_message",
    "failed_page",
    "generality",
    "is_about_credit",
    "is_of_document",
    "meaning",
]

# The provider's own.
SERVICE_ERROR = "service_error"
MALFORMED_RESPONSE = "malformed_response"
NO_CONTENT = "no_content"
UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
EMPTY_OBJECT = "empty_object"
UNDECODABLE_CONTENT = "undecodable_content"  # an unknown Content-Encoding, or bytes that are damaged
ACCESS_REFUSED = "access_refused"  # 401 or 403 without the contract's JSON: a firewall or a gateway, not the endpoint
HTTP_413 = "http_413"  # 413 without the contract's code, for a body under its limit: a gateway's limit
DAMAGED_STATE = "damaged_state"  # a claim or a kept answer that cannot be read

# The contract's, which preflight gives too, before the call.
SIDE_TOO_SHORT = "1001"
SIDE_TOO_LONG = "1002"
TOO_LARGE = "20000"

_DOCUMENT_CODES = frozenset(
    {SIDE_TOO_SHORT, SIDE_TOO_LONG, "1003", TOO_LARGE, "20001", "20002", "validation_error", "request_entity_too_large"}
)
_SERVICE_CODES = frozenset({"2001", "40001", "40000"})
_GENERIC_CODES = frozenset({"bad_request", "partial_content", "206"})
_PAGE_ERROR_CODE = "internal_server_error"
_AMBIGUOUS_CODE = "400"  # of the later family: "not a book", or a page error, by its message
# `…_vehicle_registration_…` for this document; the other documents have the same shape (contract, Request).
_NOT_FOUND = re.compile(r"can_not_find_[a-z0-9_]+_on_image")
# `no_id_card` and the like, on a 400 only (contract, Other documents).
_NOTHING_THERE = re.compile(r"no_[a-z0-9_]{1,60}")
# Over the words of a code. Only whole words count, and not where they name something else: a load balancer, a
# quotation, a credit card, a payment slip.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_]+")
_CREDIT = re.compile(
    r"\b(?:credits?(?! cards?\b)|quotas?|(?<!load )balance(?! sheets?\b)|payments?(?! slips?\b)|billing)\b"
)

_PAGE_MESSAGES = (
    (re.compile(r"Page ([0-9]{1,6}) ?: ?Internal Server Error", re.IGNORECASE), "Page {} : Internal Server Error"),
    (
        re.compile(r"Internal process error during extract image page: ?([0-9]{1,6})", re.IGNORECASE),
        "Internal process error during extract image page: {}",
    ),
)
_BAD_REQUEST = "bad request"
_MESSAGES = frozenset(
    {
        "Bad Request",
        "Bad request",
        "Partial content",
        "Internal Error",
        "can not find vehicle registration on image",
        "Cannot read specified image",
        "The request image base64 is too large.",
        "Too low image resolution (image must be base64 and image size must between 500x500 and 10000x10000)",
        "Image quality not acceptable (image must be base64 and image size must between 500x500 and 10000x10000)",
    }
)


class Meaning(Enum):
    """The meaning of an error object."""

    DOCUMENT = auto()  # the document's own fault
    PAGE_ERROR = auto()  # a page broke the service, perhaps passing
    SERVICE = auto()  # a part of the service failed
    UNKNOWN = auto()  # not in the contract's table
    NOT_A_BOOK_LATER = auto()  # `400` "Bad request"
    GENERIC = auto()  # only says again that something is wrong


def generality(error: ApiError) -> int:
    """Key for a stable sort, the most specific first: the endpoint's own order holds, but generic codes go to the end,
    and before them `400` "Bad request", which is generic beside another code."""
    return {Meaning.NOT_A_BOOK_LATER: 1, Meaning.GENERIC: 2}.get(meaning(error), 0)


def meaning(error: ApiError) -> Meaning:
    """What the contract's table says of this code, and of its message where the code is ambiguous."""
    code = error.code
    found = Meaning.UNKNOWN
    if code == _AMBIGUOUS_CODE:
        message = (error.message or "").strip()
        if _page_message(message) is not None:
            found = Meaning.PAGE_ERROR
        elif message.casefold() == _BAD_REQUEST:
            found = Meaning.NOT_A_BOOK_LATER
    elif code == _PAGE_ERROR_CODE:
        found = Meaning.PAGE_ERROR
    elif code in _SERVICE_CODES:
        found = Meaning.SERVICE
    elif code in _GENERIC_CODES:
        found = Meaning.GENERIC
    elif code in _DOCUMENT_CODES or (code is not None and _NOT_FOUND.fullmatch(code)):
        found = Meaning.DOCUMENT
    return found


def is_of_document(error: ApiError, status: int) -> bool:
    """Whether the contract lists the code as the document's own fault on this HTTP status."""
    if meaning(error) in (Meaning.DOCUMENT, Meaning.NOT_A_BOOK_LATER):
        return True
    if is_about_credit(error):
        return False
    return status == 400 and error.code is not None and _NOTHING_THERE.fullmatch(error.code) is not None


def is_about_credit(error: ApiError) -> bool:
    """Whether the code speaks of the account's credit or quota. Its words are separated as in ``monthly_quota``,
    ``monthly-quota``, ``monthly.quota`` or ``MonthlyQuota``."""
    return _CREDIT.search(" ".join(_WORD.findall(error.code or "")).lower()) is not None


def failed_page(error: ApiError) -> int | None:
    """The number, from 1, of the page that a page error names; None for any other error."""
    for pattern, _ in _PAGE_MESSAGES:
        if found := pattern.fullmatch((error.message or "").strip()):
            return int(found[1]) or None
    return None


def contract_message(message: str | None) -> str | None:
    """The contract's sentence that ``message`` is, page numbers rebuilt from their digits; None for any other text."""
    text = (message or "").strip()
    return text if text in _MESSAGES else _page_message(text)


def _page_message(text: str) -> str | None:
    for pattern, sentence in _PAGE_MESSAGES:
        if found := pattern.fullmatch(text):
            return sentence.format(int(found[1]))
    return None
