# SPDX-License-Identifier: Apache-2.0
"""The request for one document, and what may come of it: an answer that stands, or a call that failed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_aigen.core.models import ApiResponse, CallFailure
from airflow_provider_aigen.core.service.verdicts import Failed, Verdict

__all__ = ["FailedCall", "Received", "Request"]


@dataclass(frozen=True, slots=True)
class Request:
    """One document to be read. ``failures`` counts the requests for it that failed before in this try, ``calls`` the
    calls that they took; ``may_repeat``: one of those may be on the bill. ``letter``: the document is a dead letter of
    an earlier run. ``aged``: it has failed for long, in many tries. ``probe``: nobody else is left
    to answer, so that the open breaker holds nothing back."""

    document_id: str
    image: bytes = field(repr=False)
    failures: int = 0
    calls: int = 0
    may_repeat: bool = False
    letter: bool = False
    aged: bool = False
    probe: bool = False


@dataclass(frozen=True, slots=True)
class Received:
    """An answer that stands, about to be kept."""

    result: ApiResponse | CallFailure
    verdict: Verdict
    attempts: int
    received_at: datetime


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call that failed in a way that may pass. ``calls`` counts this request's calls; it began at ``called_at`` and
    its failure was seen at ``failed_at`` (monotonic)."""

    verdict: Failed
    calls: int
    latency_s: float
    called_at: datetime
    failed_at: float
