# SPDX-License-Identifier: Apache-2.0
"""What one call means: (status, header, body) → ``Verdict``, every row of the failure table.

The status decides first (the service's bad day, the key, the endpoint), then the codes, the most specific one of them.
Whose fault it is, is all that a verdict says; what to do next is :mod:`.health`'s and :mod:`.suspects`'.
"""

from __future__ import annotations

from datetime import datetime

from airflow_provider_aigen.core.document.flatten import flatten
from airflow_provider_aigen.core.models import (
    Answer,
    ApiError,
    ApiResponse,
    CallFailure,
    FailureKind,
    KeptAnswer,
)
from airflow_provider_aigen.core.service.codes import (
    ACCESS_REFUSED,
    HTTP_413,
    MALFORMED_RESPONSE,
    NO_CONTENT,
    SERVICE_ERROR,
    Meaning,
    contract_message,
    failed_page,
    generality,
    is_about_credit,
    is_of_document,
    meaning,
)
from airflow_provider_aigen.core.service.shapes import UnknownShape, check_pages
from airflow_provider_aigen.core.service.verdicts import (
    Extracted,
    Failed,
    Fatal,
    FatalReason,
    Refused,
    Throttled,
    Unknown,
    Verdict,
)
from airflow_provider_aigen.core.service.wire import MalformedAnswer, is_contract, parse_answer, parse_retry_after

__all__ = ["BODY_LIMIT_BYTES", "classify", "classify_kept"]

# The contract's limit of a file. A 413 without the contract's code for less than this is a gateway's.
BODY_LIMIT_BYTES = 10_000_000
# Codes by which a gateway says in JSON that the path itself is wrong.
_NO_ENDPOINT_CODES = frozenset({"404", "405", "not_found", "method_not_allowed"})


def classify(
    result: ApiResponse | CallFailure, now: datetime | None = None, *, image_bytes: int | None = None
) -> Verdict:
    """The meaning of what one call gave; never raises, whatever status and bytes. ``now`` is for a ``Retry-After`` that
    is a date, ``image_bytes``, the size of the file that was sent, tells a gateway's 413 from the contract's."""
    if isinstance(result, CallFailure):
        return _of_failure(result)
    verdict = _of_status(result, parse_retry_after(result.retry_after, now))
    if verdict is not None:
        return verdict
    try:
        answer = parse_answer(result.status, result.body)
        if result.status < 300:
            check_pages(answer.pages)
    except MalformedAnswer:
        return _without_answer(result.status, image_bytes)
    except UnknownShape as unknown:
        return Unknown(result.status, str(unknown))
    return _of_content(answer) if result.status < 300 else _of_refusal(answer, image_bytes)


def classify_kept(kept: KeptAnswer) -> Verdict:
    """The verdict that the kept answer had when it was received."""
    if kept.failure is not None:
        return classify(CallFailure(kept.failure, sent=True, latency_s=kept.latency_s))
    if kept.status is None:
        return Failed(None, (MALFORMED_RESPONSE,), billed=True)
    return classify(ApiResponse(kept.status, kept.body, kept.latency_s))


def _of_failure(failure: CallFailure) -> Verdict:
    match failure.kind:
        case FailureKind.TLS:
            return Fatal(None, FatalReason.TLS)
        case FailureKind.TOO_LARGE:
            return Failed(None, (MALFORMED_RESPONSE,), billed=True, kind=failure.kind)
        case FailureKind.CONNECT:
            return Failed(None, (SERVICE_ERROR,), billed=False, kind=failure.kind)
        case FailureKind.TIMEOUT | FailureKind.RESET | FailureKind.PROTOCOL:
            return Failed(None, (SERVICE_ERROR,), billed=failure.sent, kind=failure.kind)


def _of_status(response: ApiResponse, retry_after_s: float | None) -> Verdict | None:
    """The verdicts for which the status is enough, with a look at the body where it tells the endpoint from others."""
    status = response.status
    if status == 402:
        return Fatal(status, FatalReason.NO_CREDIT)
    if status in (401, 403, 429):
        return _of_access(response, retry_after_s)
    if 300 <= status < 400:
        return Fatal(status, FatalReason.REDIRECT)
    if status == 503 and retry_after_s is not None:
        return Throttled(status, retry_after_s)
    if status == 408 or not 200 <= status < 500:
        return Failed(status, (SERVICE_ERROR,), billed=status != 503)
    return None


def _of_access(response: ApiResponse, retry_after_s: float | None) -> Verdict:
    status = response.status
    if status in (403, 429) and any(map(is_about_credit, _errors(response))):
        return Fatal(status, FatalReason.NO_CREDIT)
    if status == 429:
        return Throttled(status, retry_after_s)
    if is_contract(response.body):
        return Fatal(status, FatalReason.UNAUTHORIZED if status == 401 else FatalReason.FORBIDDEN)
    # A firewall may refuse one image, and lets the others pass.
    return Failed(status, (ACCESS_REFUSED,), billed=False)


def _errors(response: ApiResponse) -> tuple[ApiError, ...]:
    try:
        return parse_answer(response.status, response.body).errors
    except MalformedAnswer:
        return ()


def _without_answer(status: int, image_bytes: int | None) -> Verdict:
    """A 2xx or 4xx whose body is no answer of the contract: a gateway's page, perhaps."""
    if status in (404, 405):
        return Fatal(status, FatalReason.NO_ENDPOINT)
    if status == 413:
        return _of_413(image_bytes)
    if status == 422:  # it is about the document, also where a gateway says so
        return Refused(status, ("http_422",), known=False)
    return Failed(status, (MALFORMED_RESPONSE,), billed=True)


def _of_413(image_bytes: int | None, codes: tuple[str, ...] = (), messages: tuple[str, ...] = ()) -> Verdict:
    """Without the contract's code: a gateway's limit, unless the file is over the contract's own."""
    codes = tuple(dict.fromkeys((HTTP_413, *codes)))
    if image_bytes is not None and image_bytes < BODY_LIMIT_BYTES:
        return Failed(413, codes, billed=True, messages=messages)
    return Refused(413, codes, messages)


def _of_content(answer: Answer) -> Verdict:
    if not any(answer.pages):
        return _of_refusal(answer, None)
    failed_pages = _failed_pages(answer)
    if not failed_pages:
        return Extracted(flatten(answer), len(answer.pages))
    errors = _most_specific_first(answer.errors)
    codes = _codes(errors) or (NO_CONTENT,)
    return Extracted(flatten(answer), len(answer.pages), codes, _messages(errors), failed_pages)


def _failed_pages(answer: Answer) -> tuple[int, ...]:
    """Pages without a field, and those that an error names and ``data`` leaves out."""
    named = {number for error in answer.errors if (number := failed_page(error)) and number > len(answer.pages)}
    return tuple(sorted({*answer.failed_pages, *named}))


def _of_refusal(answer: Answer, image_bytes: int | None) -> Verdict:
    """No page has a field: the primary code says why."""
    status = answer.status
    errors = _most_specific_first(answer.errors)
    codes, messages = _codes(errors), _messages(errors)
    pages, failed_pages = len(answer.pages) or None, answer.failed_pages
    if status in (404, 405) and not _about_document(errors):
        return Fatal(status, FatalReason.NO_ENDPOINT)
    primary = meaning(errors[0]) if errors else None
    if primary is Meaning.SERVICE:
        return Failed(status, (SERVICE_ERROR,), billed=True)
    telling = [error for error in errors if meaning(error) is not Meaning.GENERIC]
    if telling and all(meaning(error) is Meaning.PAGE_ERROR for error in telling):
        return Failed(status, codes, billed=True, messages=messages, pages=pages, failed_pages=failed_pages)
    if status == 413 and not any(is_of_document(error, status) for error in errors):
        return _of_413(image_bytes, codes, messages)
    if status < 300 and primary in (None, Meaning.GENERIC):
        return Refused(status, (NO_CONTENT, *codes), messages, pages, failed_pages)
    known = status == 413 or primary is Meaning.PAGE_ERROR or (bool(errors) and is_of_document(errors[0], status))
    return Refused(status, codes or (f"http_{status}",), messages, pages, failed_pages, known=known)


def _about_document(errors: list[ApiError]) -> bool:
    return any(error.code not in _NO_ENDPOINT_CODES and meaning(error) is not Meaning.GENERIC for error in errors)


def _most_specific_first(errors: tuple[ApiError, ...]) -> list[ApiError]:
    return sorted((error for error in errors if error.code is not None), key=generality)


def _codes(errors: list[ApiError]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(error.code for error in errors if error.code is not None))


def _messages(errors: list[ApiError]) -> tuple[str, ...]:
    sentences = (contract_message(error.message) for error in errors)
    return tuple(dict.fromkeys(sentence for sentence in sentences if sentence is not None))
