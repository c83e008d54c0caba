# SPDX-License-Identifier: Apache-2.0
"""The bytes of an answer (contract, Answer).

What comes in is foreign: whatever the bytes are, the result is an :class:`~.models.Answer` or ``MalformedAnswer``, in
time linear in their length. The body itself is kept elsewhere as received, so what is lost here is not lost for good:
of duplicate keys the last one stands, a lone surrogate becomes U+FFFD (nothing could store it), a whole number of
more than 300 digits becomes text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import reduce
from itertools import islice
from typing import Any

import msgspec

from airflow_provider_aigen.core.models import Answer, ApiError
from airflow_provider_aigen.core.service.shapes import check_shape, is_the_vendors

__all__ = [
    "MAX_CODE_LENGTH",
    "MAX_DEPTH",
    "MalformedAnswer",
    "is_contract",
    "parse_answer",
    "parse_retry_after",
]

MAX_DEPTH = 64
MAX_CODE_LENGTH = 256

_MAX_INT_DIGITS = 300
_MAX_ERRORS = 1000  # one a page is what the contract knows; a list of a million would only swell commits and records
_MAX_RETRY_AFTER_S = 3600.0
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_LONGEST_DATE = 64
_BOM = b"\xef\xbb\xbf"
_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_SYNTAX = bytes(set(range(256)) - set(b'[]{}"'))
# One that does not end swallows the rest: the parser refuses it afterwards.
_STRING = re.compile(rb'"[^"]*+"?')
_BALANCED = re.compile(reduce(lambda inner, _: rb"(?>(?:\[" + inner + rb"\])*)", range(MAX_DEPTH), b""))
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * (_MAX_INT_DIGITS + 1)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class MalformedAnswer(ValueError):
    """The body is no answer of the contract. The message is one of this module's sentences, never foreign text."""


def parse_answer(status: int, body: bytes) -> Answer:
    """The answer in ``body``: pages in order, ``{}`` for null ones, codes as strings.

    Raises ``MalformedAnswer`` for what is not UTF-8, not JSON, not an object, or nests deeper than 64 levels, and on
    a 2xx for an object that has nothing of the vendor's answers. On a 2xx ``UnknownShape`` (:mod:`.shapes`) is raised
    for ``data`` that is no list of pages. On other statuses such data is left out: there the errors count.
    """
    document = _load(body.removeprefix(_BOM))
    if not isinstance(document, dict):
        raise MalformedAnswer("the answer is not a JSON object")
    if 200 <= status < 300:
        if not is_the_vendors(document):
            raise MalformedAnswer("the answer has nothing of the API's answers")
        check_shape(document)
    return Answer(status, _pages(document.get("data")), _errors(document.get("error")))


def is_contract(body: bytes) -> bool:
    """Whether the body is JSON as the endpoint itself writes it: ``status`` is ``success`` or ``error``, or ``error``
    is a list. A gateway's or a firewall's answer is not."""
    try:
        document = _load(body.removeprefix(_BOM))
    except MalformedAnswer:
        return False
    if not isinstance(document, dict):
        return False
    return document.get("status") in ("success", "error") or isinstance(document.get("error"), list)


def _load(body: bytes) -> Any:
    _check_depth(body)
    has_long_number = _LONG_NUMBER in body.translate(_DIGITS_AS_ZEROS)
    if not has_long_number:
        # Both parsers read alike what msgspec takes. What it refuses is mostly no JSON, and the other one decides.
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return msgspec.json.decode(body)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedAnswer("the answer is not UTF-8") from None
    parse_int = _bounded_int if has_long_number else None
    try:
        # Not strict: a raw control character in a string is no reason to throw away a paid answer.
        document = json.loads(text, strict=False, parse_int=parse_int)
    except ValueError:
        raise MalformedAnswer("the answer is not JSON") from None
    return _storable(document) if _SURROGATE_ESCAPE.search(body) else document


def _check_depth(body: bytes) -> None:
    """Raise where arrays and objects nest deeper than ``MAX_DEPTH``, or do not close, before the parser recurses."""
    # Without escaped quotes, each second quote ends a string. Nearly all strings have no bracket, and then their two
    # quotes stand side by side.
    brackets = body.replace(rb"\\", b"").replace(rb"\"", b"").translate(_SQUARE, _NO_SYNTAX).replace(b'""', b"")
    if b'"' in brackets:
        brackets = _STRING.sub(b"", brackets)
    if not _BALANCED.fullmatch(brackets):
        raise MalformedAnswer(f"the answer nests deeper than {MAX_DEPTH} levels or does not close them")


def _bounded_int(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_INT_DIGITS else digits


def _storable(value: Any) -> Any:
    """``value`` with lone surrogates replaced, in keys too; its depth is bounded, so recursion is."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def _pages(data: Any) -> tuple[Mapping[str, Any], ...]:
    if isinstance(data, list) and all(page is None or isinstance(page, dict) for page in data):
        return tuple(page or {} for page in data)
    return ()


def _errors(errors: Any) -> tuple[ApiError, ...]:
    listed = errors if isinstance(errors, list) else [errors]
    objects = (error for error in listed if isinstance(error, dict))
    return tuple(_error(error) for error in islice(objects, _MAX_ERRORS))


def _error(error: Mapping[str, Any]) -> ApiError:
    code = error.get("code")
    if isinstance(code, int) and not isinstance(code, bool):
        code = str(code)
    # Beyond a length that no code has it is foreign text.
    if not isinstance(code, str) or not 0 < len(code) <= MAX_CODE_LENGTH:
        code = None
    message = error.get("message")
    return ApiError(code, message if isinstance(message, str) else None)


def parse_retry_after(value: str | None, now: datetime | None) -> float | None:
    """Seconds to wait, from seconds or, where ``now`` is known, an HTTP date; 0 for a date that has passed; None for
    anything absurd: negative, not a number and not a date, over one hour."""
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif not text or len(text) > _LONGEST_DATE or now is None:
        return None
    else:
        try:
            date = parsedate_to_datetime(text)
            # Without a zone it is GMT: HTTP knows no other.
            seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return max(seconds, 0.0) if seconds <= _MAX_RETRY_AFTER_S else None
