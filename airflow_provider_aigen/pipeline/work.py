# SPDX-License-Identifier: Apache-2.0
"""A document on its way through one try: the work that is handed out, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_aigen.core.document import outcomes
from airflow_provider_aigen.core.document.reading import Reading
from airflow_provider_aigen.core.errors import ObjectDenied
from airflow_provider_aigen.core.models import (
    ApiResponse,
    CallFailure,
    Claim,
    DocumentOutcome,
    ErrorOrigin,
    KeptAnswer,
    Retake,
    SourceObject,
)
from airflow_provider_aigen.pipeline.request import FailedCall, Received

__all__ = ["DeniedDocument", "FailedDocument", "FinishedDocument", "HeldDocument", "Result", "Work", "kept_answer"]


@dataclass(frozen=True, slots=True)
class Work:
    """A planned document to be worked on. ``version_id`` is that of the object, once it was read. ``failures`` counts
    the failures of this try so far, ``calls`` the calls that they took, pauses and connections that could not be made
    included; ``billed`` is whether one of them may be on the bill. ``probe``: nobody else is left to answer.
    ``retake`` is there for a dead letter of an earlier run."""

    document: SourceObject
    retake: Retake | None = None
    version_id: str | None = None
    failures: int = 0
    calls: int = 0
    billed: bool = False
    probe: bool = False

    @property
    def document_id(self) -> str:
        return self.document.document_id


@dataclass(frozen=True, slots=True)
class FinishedDocument:
    """The document's outcome, with the reading of the answer that it rests on where there is one."""

    outcome: DocumentOutcome
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class FailedDocument:
    """A document whose call failed in a way that may pass. ``work`` counts that call. ``aged``: it has failed for long,
    in many tries."""

    work: Work
    claim: Claim
    failed: FailedCall
    aged: bool

    def outcome(self, this: outcomes.Round) -> DocumentOutcome:
        """What it gets if it is at fault itself."""
        return outcomes.failed(
            self.work.document,
            self.failed.verdict,
            outcomes.LastCall(self.failed.called_at, self.work.calls, self.failed.latency_s),
            this,
            content_sha256=self.claim.content_sha256,
            version_id=self.work.version_id,
            retake=self.work.retake,
        )


@dataclass(frozen=True, slots=True)
class HeldDocument:
    """A document whose bytes another process has claimed: look for the answer, and whether it still holds them."""

    work: Work
    claim: Claim


@dataclass(frozen=True, slots=True)
class DeniedDocument:
    """A document that S3 does not let read, or contradicts itself about. ``error`` is what it means if that is so for
    all of them."""

    work: Work
    error: ObjectDenied

    def outcome(self) -> DocumentOutcome:
        """What it gets once another object of the source was read."""
        return outcomes.rejected(self.work.document, self.error.code, ErrorOrigin.SOURCE, retake=self.work.retake)


Result = FinishedDocument | FailedDocument | HeldDocument | DeniedDocument


def kept_answer(received: Received, content_sha256: str, document_type: str) -> KeptAnswer:
    """What is stored of an answer: the response as received, or why there was none to read."""
    result = received.result
    response = result if isinstance(result, ApiResponse) else None
    return KeptAnswer(
        content_sha256=content_sha256,
        document_type=document_type,
        status=response.status if response else None,
        body=response.body if response else b"",
        received_at=received.received_at,
        attempts=received.attempts,
        latency_s=result.latency_s,
        failure=result.kind if isinstance(result, CallFailure) else None,
    )
