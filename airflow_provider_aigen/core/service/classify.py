# SPDX-License-Identifier: Apache-2.0
"""What one call means: (status, header, body) → ``Verdict``, every row of design §5's table.

The status decides first (the service's bad day, the key, the endpoint), then the codes, the most specific one of them.
Whose fault it is, is all that a verdict says; what to do next is ``core.service.retry``'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_aigen.core.models import Answer, ApiError, ApiResponse, CallFailure, FailureKind, KeptAnswer
from airflow_provider_aigen.core.service.codes import (
    EMPTY_OBJECT,
    MALFORMED_RESPONSE,
    NO_CONTENT,
    SERVICE_ERROR,
    TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    Meaning,
    contract_message,
    generality,
    meaning,
)
from airflow_provider_aigen.core.service.wire import MalformedAnswer, parse_answer

__all__ = [
    "EMPTY_OBJECT",
    "MALFORMED_RESPONSE",
    "NO_CONTENT",
    "SERVICE_ERROR",
    "TOO_LARGE",
    "UNSUPPORTED_MEDIA_TYPE",
    "Extracted",
    "Fatal",
    "FatalReason",
    "Malformed",
    "Refused",
    "ServiceFailed",
    "Throttled",
    "Verdict",
    "classify",
    "classify_kept",
    "is_paid",
]

# Codes by which a gateway says in JSON that the path itself is wrong.
_NO_ENDPOINT_CODES = frozenset({"404", "405", "not_found", "method_not_allowed"})


class FatalReason(StrEnum):
    """The reason why no call of this run can succeed."""

    UNAUTHORIZED = "unauthorized"  # 401
    FORBIDDEN = "forbidden"  # 403
    NO_ENDPOINT = "no_endpoint"  # 404 or 405, not about the document
    REDIRECT = "redirect"  # 3xx, never followed
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Extracted:
    """An answer in which at least one page has fields. ``error_codes`` and ``messages`` say why others failed; they are
    empty where none did."""

    answer: Answer
    error_codes: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    failed_pages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal that is the document's own fault; ``error_codes`` has at least one. ``perhaps_passing``: every page
    broke the service. ``known`` is False where the contract's table does not have the primary code. ``pages`` is None
    without ``data``."""

    status: int
    error_codes: tuple[str, ...]
    messages: tuple[str, ...] = ()
    pages: int | None = None
    failed_pages: tuple[int, ...] = ()
    perhaps_passing: bool = False
    known: bool = True


@dataclass(frozen=True, slots=True)
class Malformed:
    """An answer that is none of the contract's; its error code is ``malformed_response``."""

    status: int | None = None


@dataclass(frozen=True, slots=True)
class ServiceFailed:
    """A failure of the service. ``billed``: the request may have been processed, so a repetition may be paid twice.
    ``kind`` is None where an HTTP status said it."""

    status: int | None
    kind: FailureKind | None
    billed: bool
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """A request to call later: 429, or 503 with ``Retry-After``. ``retry_after`` is the header as received, perhaps
    unusable."""

    status: int
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class Fatal:
    """A result after which no call of this run can succeed until somebody mends the configuration."""

    status: int | None
    reason: FatalReason


Verdict = Extracted | Refused | Malformed | ServiceFailed | Throttled | Fatal


def classify(result: ApiResponse | CallFailure) -> Verdict:
    """The meaning of what one call gave; never raises, whatever status and bytes."""
    if isinstance(result, CallFailure):
        return _of_failure(result)
    verdict = _of_status(result)
    if verdict is not None:
        return verdict
    try:
        answer = parse_answer(result.status, result.body)
    except MalformedAnswer:
        return _without_answer(result.status)
    if result.status < 300:
        return _of_content(answer)
    return _of_refusal(answer)


def is_paid(verdict: Verdict) -> bool:
    """Whether a call with this verdict may be on the bill. Not: one that never left, 429, 503, a refused key, a
    redirect, a wrong path."""
    match verdict:
        case Extracted() | Refused() | Malformed():
            return True
        case ServiceFailed(billed=billed):
            return billed
        case _:
            return False


def classify_kept(kept: KeptAnswer) -> Verdict:
    """The verdict that the kept answer had when it was received."""
    if kept.failure is not None:
        return classify(CallFailure(kept.failure, sent=True, latency_s=kept.latency_s))
    if kept.status is None:
        return Malformed()
    return classify(ApiResponse(kept.status, kept.body, kept.latency_s))


def _of_failure(failure: CallFailure) -> Verdict:
    match failure.kind:
        case FailureKind.TLS:
            return Fatal(None, FatalReason.TLS)
        case FailureKind.TOO_LARGE:
            return Malformed()
        case FailureKind.CONNECT:
            return ServiceFailed(None, failure.kind, billed=False)
        case FailureKind.TIMEOUT | FailureKind.RESET | FailureKind.PROTOCOL:
            return ServiceFailed(None, failure.kind, billed=failure.sent)


def _of_status(response: ApiResponse) -> Verdict | None:
    """The verdicts for which the body does not matter."""
    status, retry_after = response.status, response.retry_after
    if status == 401:
        return Fatal(status, FatalReason.UNAUTHORIZED)
    if status == 403:
        return Fatal(status, FatalReason.FORBIDDEN)
    if 300 <= status < 400:
        return Fatal(status, FatalReason.REDIRECT)
    if status == 429 or (status == 503 and retry_after is not None):
        return Throttled(status, retry_after)
    if status == 408 or not 200 <= status < 500:
        return ServiceFailed(status, None, billed=status != 503, retry_after=retry_after)
    return None


def _without_answer(status: int) -> Verdict:
    """A 2xx or 4xx whose body is no answer of the contract: a gateway's page, perhaps."""
    if status in (404, 405):
        return Fatal(status, FatalReason.NO_ENDPOINT)
    if status in (413, 422):  # they are about the document, even if a gateway says so
        return Refused(status, (f"http_{status}",), known=status == 413)
    return Malformed(status)


def _of_content(answer: Answer) -> Verdict:
    if not any(answer.pages):
        return _of_refusal(answer)
    if not answer.failed_pages:
        return Extracted(answer)
    errors = _most_specific_first(answer.errors)
    return Extracted(answer, _codes(errors) or (NO_CONTENT,), _messages(errors), answer.failed_pages)


def _of_refusal(answer: Answer) -> Verdict:
    """No page has a field: the primary code says why."""
    status = answer.status
    errors = _most_specific_first(answer.errors)
    codes = _codes(errors)
    if status in (404, 405) and not _about_document(errors):
        return Fatal(status, FatalReason.NO_ENDPOINT)
    primary = meaning(errors[0]) if errors else None
    if primary is Meaning.SERVICE:
        return ServiceFailed(status, None, billed=True)
    if status < 300 and primary in (None, Meaning.GENERIC):
        codes, known = (NO_CONTENT, *codes), True
    else:
        codes = codes or (f"http_{status}",)
        known = status == 413 or primary in (Meaning.DOCUMENT, Meaning.PAGE_ERROR, Meaning.NOT_A_BOOK_LATER)
    telling = [error for error in errors if meaning(error) is not Meaning.GENERIC]
    return Refused(
        status=status,
        error_codes=codes,
        messages=_messages(errors),
        pages=len(answer.pages) or None,
        failed_pages=answer.failed_pages,
        perhaps_passing=bool(telling) and all(meaning(error) is Meaning.PAGE_ERROR for error in telling),
        known=known,
    )


def _about_document(errors: list[ApiError]) -> bool:
    return any(error.code not in _NO_ENDPOINT_CODES and meaning(error) is not Meaning.GENERIC for error in errors)


def _most_specific_first(errors: tuple[ApiError, ...]) -> list[ApiError]:
    return sorted((error for error in errors if error.code is not None), key=generality)


def _codes(errors: list[ApiError]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(error.code for error in errors if error.code is not None))


def _messages(errors: list[ApiError]) -> tuple[str, ...]:
    sentences = (contract_message(error.message) for error in errors)
    return tuple(dict.fromkeys(sentence for sentence in sentences if sentence is not None))
