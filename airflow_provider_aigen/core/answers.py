# SPDX-License-Identifier: Apache-2.0
"""What one call gives, and what is kept of it: part of :mod:`~airflow_provider_aigen.core.models`, which names what
flows in order and exports these too.

(one call) :class:`ApiResponse` | :class:`CallFailure` → :class:`Answer` → :class:`KeptAnswer`
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

__all__ = [
    "WRITER_LIVES",
    "Answer",
    "ApiError",
    "ApiResponse",
    "CallFailure",
    "Claim",
    "FailureKind",
    "KeptAnswer",
    "answer_key",
    "split_answer_key",
]

# A writer whose newest sign of life is older than this is gone: others take its claims over.
WRITER_LIVES = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """An HTTP response of the endpoint. ``retry_after`` is the header as received."""

    status: int
    body: bytes = field(repr=False)
    latency_s: float
    retry_after: str | None = None


class FailureKind(StrEnum):
    """The reason why no answer came."""

    CONNECT = "connect"  # refused, unreachable, DNS, connect timeout: the request never left
    TLS = "tls"  # the certificate is not good: the key was not sent
    TIMEOUT = "timeout"  # the answer did not come, or not whole, in time
    RESET = "reset"  # the connection broke after the request began
    PROTOCOL = "protocol"  # what came back is not HTTP
    TOO_LARGE = "too_large"  # the answer is over the size cap, before or after decoding


@dataclass(frozen=True, slots=True)
class CallFailure:
    """A call without a usable HTTP answer. ``sent`` is False only where the request surely never left."""

    kind: FailureKind
    sent: bool
    latency_s: float


@dataclass(frozen=True, slots=True)
class ApiError:
    """One ErrorObject of the contract. ``code`` is a string even where the wire had an integer."""

    code: str | None
    message: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer: one raw JSON object per page, ``{}`` for a page that gave nothing; the errors, most specific
    first."""

    status: int
    pages: tuple[Mapping[str, Any], ...] = field(repr=False)
    errors: tuple[ApiError, ...] = ()

    @property
    def failed_pages(self) -> tuple[int, ...]:
        """Numbers of the pages without a field, from 1."""
        return tuple(number for number, page in enumerate(self.pages, start=1) if not page)


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """The API's final answer for these bytes, as received. It is stored once and never paid again.

    ``attempts`` counts the calls made for it, ``latency_s`` is that of the last one. ``body`` is empty where the
    answer could not be read (``failure`` says why), for example because it was over the size cap."""

    content_sha256: str
    document_type: str
    status: int | None
    body: bytes = field(repr=False)
    received_at: datetime
    attempts: int
    latency_s: float
    failure: FailureKind | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A process is about to send these bytes, or has: others leave them alone as long as it lives, and look for the
    answer meanwhile, so that overlapping runs do not pay for the same document twice.

    ``released``: nobody holds it. ``tries`` counts the tries at whose end the service still failed for these bytes,
    ``first_failed_at`` is when it did first."""

    content_sha256: str
    document_type: str
    writer_id: str
    claimed_at: datetime
    released: bool = False
    tries: int = 0
    first_failed_at: datetime | None = None


def answer_key(content_sha256: str, answer: int) -> str:
    """The name of answer ``answer`` about these bytes, and of its claim. The first one, 0, has the name of the content
    itself; a redrive asks for the next."""
    return f"{content_sha256}.{answer}" if answer else content_sha256


def split_answer_key(key: str) -> tuple[str, int]:
    """The SHA-256 of the content, and the number of the answer."""
    content_sha256, _, answer = key.partition(".")
    return content_sha256, int(answer or 0)
