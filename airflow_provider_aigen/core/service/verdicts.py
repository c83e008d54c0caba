# SPDX-License-Identifier: Apache-2.0
"""A verdict says what a call means. :mod:`.classify` chooses it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from airflow_provider_aigen.core.errors import ContractError
from airflow_provider_aigen.core.models import FailureKind, FieldRows

__all__ = ["Extracted", "Failed", "Fatal", "FatalReason", "Refused", "Throttled", "Unknown", "Verdict", "is_paid"]


class FatalReason(StrEnum):
    """The reason why no call of this run can succeed."""

    UNAUTHORIZED = "unauthorized"  # 401
    FORBIDDEN = "forbidden"  # 403
    NO_CREDIT = "no_credit"  # 402, or a code that speaks of credit or quota
    NO_ENDPOINT = "no_endpoint"  # 404 or 405, not about the document
    REDIRECT = "redirect"  # 3xx, never followed
    TLS = "tls"


@dataclass(frozen=True, slots=True)
class Extracted:
    """At least one of the ``pages`` has fields, which are the ``rows``. ``error_codes`` and ``messages`` say why others
    failed, empty where none did. ``failed_pages`` may name pages that the answer leaves out.

    The answer itself is not held: parsed, it takes five times the memory of its rows."""

    rows: FieldRows
    pages: int
    error_codes: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    failed_pages: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The document's own fault; ``error_codes`` has at least one. ``known`` is False where the contract's table does
    not have the primary code. ``pages`` is None without ``data``."""

    status: int
    error_codes: tuple[str, ...]
    messages: tuple[str, ...] = ()
    pages: int | None = None
    failed_pages: tuple[int, ...] = ()
    known: bool = True


@dataclass(frozen=True, slots=True)
class Failed:
    """A passing failure: the same call may succeed later. ``error_codes`` has at least one, which is that of the dead
    letter if it does not. ``billed``: the request may have been processed, so a repetition may be paid twice. ``kind``
    says why no answer came, and is None where one came."""

    status: int | None
    error_codes: tuple[str, ...]
    billed: bool
    kind: FailureKind | None = None
    messages: tuple[str, ...] = ()
    pages: int | None = None
    failed_pages: tuple[int, ...] = ()

    @property
    def left(self) -> bool:
        """Whether the request left this machine: False only where no connection could be made."""
        return self.kind is not FailureKind.CONNECT


@dataclass(frozen=True, slots=True)
class Throttled:
    """429, or 503 with a usable ``Retry-After``: the endpoint asks for patience. ``retry_after_s`` is None for a 429
    without a usable header."""

    status: int
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fatal:
    """No call of this run can succeed until somebody mends the configuration or the account."""

    status: int | None
    reason: FatalReason


@dataclass(frozen=True, slots=True)
class Unknown:
    """An answer that came and is paid, in a shape that is not understood: it is kept, gives no row, and ends the run.
    ``what`` is a phrase of :mod:`.shapes` about the shape."""

    status: int
    what: str

    def error(self, document_type: str) -> ContractError:
        """What ends the run. Every try that meets the answer says the same."""
        return ContractError(
            f"the answers for document_type {document_type} have a shape that this version does not understand: "
            f"{self.what}. The answer is kept, and no row was written of it: use a version of the document type that "
            "answers in pages of fields (v2, mostly), or upgrade the provider, then clear the task"
        )


Verdict = Extracted | Refused | Failed | Throttled | Fatal | Unknown


def is_paid(verdict: Verdict) -> bool:
    """Whether a call with this verdict may be on the bill. Not: one that never left, 429, 503, a refused key, a
    redirect, a wrong path."""
    match verdict:
        case Extracted() | Refused() | Unknown():
            return True
        case Failed(billed=billed):
            return billed
        case _:
            return False
