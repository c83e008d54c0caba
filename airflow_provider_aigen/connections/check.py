# SPDX-License-Identifier: Apache-2.0
"""The test of an AIGEN connection: one call with an empty image → a sentence (design §1, Connection)."""

from __future__ import annotations

from airflow_provider_aigen.core.models import ApiResponse, CallFailure, FailureKind
from airflow_provider_aigen.core.service.classify import classify
from airflow_provider_aigen.core.service.codes import NO_CONTENT
from airflow_provider_aigen.core.service.verdicts import Extracted, Refused

__all__ = ["judge"]

_WELL = "The endpoint answers and accepts the key."
_NOT_AIGEN = "Something answers at the base URL, but it does not speak the AIGEN API"

_BY_FAILURE = {
    FailureKind.CONNECT: "The base URL cannot be reached: check host, port and network.",
    FailureKind.TLS: "The server's TLS certificate is not valid for the base URL; the key was not sent.",
    FailureKind.TIMEOUT: "The endpoint did not answer in time.",
}

_BY_STATUS = {
    401: "The endpoint is there, but it does not accept the key (401).",
    403: "The key has no right to this endpoint (403).",
    404: "There is no AIGEN endpoint at the base URL (404).",
    405: "There is no AIGEN endpoint at the base URL (405).",
    429: "The endpoint takes no call now (429): the credit is exhausted, or too many calls are made at once.",
}


def judge(result: ApiResponse | CallFailure) -> tuple[bool, str]:
    """Whether the connection is good, and a sentence for the person who pressed the Test button.

    ``result`` is what the call with an empty image gave."""
    if isinstance(result, CallFailure):
        return False, _BY_FAILURE.get(result.kind, f"{_NOT_AIGEN}.")
    # An answer without a page and without an error object of the contract may come from any server.
    ours = {NO_CONTENT, f"http_{result.status}"}
    match classify(result):
        case Extracted():
            return True, _WELL
        case Refused(error_codes=codes, pages=pages) if pages or not ours.issuperset(codes):
            return True, _WELL
    if result.status >= 500:
        return False, f"The endpoint is there, but the service fails ({result.status})."
    if 300 <= result.status < 400:
        return False, f"The base URL redirects ({result.status}), which is never followed: put in the final one."
    return False, _BY_STATUS.get(result.status, f"{_NOT_AIGEN} ({result.status}).")
