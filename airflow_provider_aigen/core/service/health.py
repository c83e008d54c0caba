# SPDX-License-Identifier: Apache-2.0
"""How the service is, as the calls of one try show it: answered, throttled, refused, down (decision 0009).

:class:`Health` sees each call when it ends. It counts, it decides nothing about a document: what to do with a
call is decided by :mod:`.retry`, with a document that failed by :mod:`.suspects`. Times are seconds of one monotonic
clock, passed in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from airflow_provider_aigen.core.errors import (
    AccountError,
    AigenError,
    AuthenticationError,
    ContractError,
    ServiceUnavailableError,
)
from airflow_provider_aigen.core.path_segments import path_segment
from airflow_provider_aigen.core.report import codes_text, counted
from airflow_provider_aigen.core.service.breaker import Breaker, BreakerState
from airflow_provider_aigen.core.service.codes import ACCESS_REFUSED, HTTP_413
from airflow_provider_aigen.core.service.verdicts import Extracted, Failed, Refused, Throttled, Unknown, Verdict

__all__ = ["PAUSES_S", "REFUSED_SIZES", "CallRecord", "Health"]

# Everybody pauses so long after a 429 without Retry-After, and one more of them ends the run. With nobody left to
# answer, a suspect waits so long for its second and its third call.
PAUSES_S = (2.0, 8.0)
# So many bodies have to be refused for their size before a gateway's limit is believed.
REFUSED_SIZES = 5
# So many documents refused access, one after the other, and nothing else happened: the key is refused for all.
_REFUSED_FOR_ALL = 10
# Some three and a half minutes of probes: longer outages are waited out between two tries of the task.
_MAX_FAILED_PROBES = 3


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One call that has ended. ``again``: the document failed before in this try, or for long in earlier ones, or is a
    dead letter of an earlier run (``letter``), so that one more failure says little about the service."""

    document_id: str
    verdict: Verdict
    began_at: float
    ended_at: float
    image_bytes: int
    again: bool = False
    letter: bool = False

    @property
    def answered(self) -> bool:
        """Whether the service did its work: it read the document, or refused it with a code of the contract. A 413
        without that code was perhaps a gateway's."""
        match self.verdict:
            case Extracted() | Unknown():
                return True
            case Refused(known=known, error_codes=(code, *_)):
                return known and code != HTTP_413
            case _:
                return False


class Health:
    """The service's health in one try. ``answered`` counts documents, ``new_calls`` and ``new_failures`` the calls for
    documents that never were a dead letter; ``answered_since`` compares with the newest call that was answered.
    ``pauses_s`` are the waits in a try that can do nothing else, ``last_failed`` is the newest failure."""

    def __init__(
        self,
        *,
        unknown_code_limit: int = 20,
        pauses_s: tuple[float, ...] = PAUSES_S,
        cooldown_s: float = 30.0,
    ) -> None:
        self.breaker = Breaker(cooldown_s=cooldown_s)
        self.pauses_s = pauses_s
        self.answered = 0
        self.new_answered = 0
        self.new_calls = 0
        self.new_failures = 0
        self.last_failed: Failed | None = None
        self._reached = False
        self._unknown_code_limit = unknown_code_limit
        self._newest_answered = float("-inf")
        self._throttles = 0
        self._throttled_at = float("-inf")
        self._unknown_codes = 0
        self._access_refused: set[str] = set()
        self._refused_sizes: dict[str, int] = {}
        self._largest_answered = 0

    def record(self, call: CallRecord) -> AigenError | None:
        """Learn of a call; returns the error that ends the run, if there is one now."""
        self._count(call)
        self._record_breaker(call)
        if call.answered:
            self._newest_answered = max(self._newest_answered, call.began_at)
            self._largest_answered = max(self._largest_answered, call.image_bytes)
            self._access_refused.clear()
            if call.began_at > self._throttled_at:
                self._throttles = 0
        return self._error(call) or self._down()

    def answered_since(self, moment: float) -> bool:
        """Whether a call that began after ``moment`` was answered."""
        return self._newest_answered > moment

    @property
    def throttle_pause_s(self) -> float:
        """How long everybody has to wait because of the newest 429 without ``Retry-After``."""
        return self.pauses_s[min(max(self._throttles, 1), len(self.pauses_s)) - 1]

    @property
    def round_counts(self) -> bool:
        """Whether a dead letter that failed again in this try has a failed round that counts: the service answered a
        document that never was a letter, and fewer than a tenth of the calls for such documents failed."""
        return self.new_answered > 0 and 10 * self.new_failures < self.new_calls

    def _count(self, call: CallRecord) -> None:
        self.answered += call.answered
        self.last_failed = call.verdict if isinstance(call.verdict, Failed) else self.last_failed
        self._reached |= not (isinstance(call.verdict, Failed) and not call.verdict.left)
        if not call.letter:
            self.new_calls += 1
            self.new_answered += call.answered
            self.new_failures += isinstance(call.verdict, Failed)

    def _record_breaker(self, call: CallRecord) -> None:
        now, before = call.ended_at, self.breaker.state(call.ended_at)
        if call.answered:
            self.breaker.record_success(now)
        elif isinstance(call.verdict, Failed) and (not (call.again or call.letter) or before is BreakerState.HALF_OPEN):
            self.breaker.record_failure(now)

    def _error(self, call: CallRecord) -> AigenError | None:
        match call.verdict:
            case Throttled(retry_after_s=None):
                return self._throttled(call)
            case Failed(error_codes=(code, *_)) if code == ACCESS_REFUSED:
                return self._access(call)
            case Failed(error_codes=codes):
                self._access_refused.clear()  # whatever fails beside, it is not the key
                return self._too_large(call) if codes[0] == HTTP_413 else None
        return self._unknown_code(call)

    def _throttled(self, call: CallRecord) -> AigenError | None:
        if call.began_at < self._throttled_at:
            return None  # of a burst that was in flight: it counts once
        self._throttles += 1
        self._throttled_at = call.ended_at
        if self._throttles <= len(self.pauses_s):
            return None
        return AccountError(
            f"the endpoint still answers 429 without Retry-After after {len(self.pauses_s)} pauses: either the "
            "account's credit is exhausted (top it up at the vendor), or requests_per_second is higher than the rate "
            "that the key may use (lower it)"
        )

    def _access(self, call: CallRecord) -> AigenError | None:
        self._access_refused.add(call.document_id)
        return None if self.answered else self._refused_for_all()

    def _refused_for_all(self) -> AuthenticationError | None:
        return self.access_error() if len(self._access_refused) >= _REFUSED_FOR_ALL else None

    def _too_large(self, call: CallRecord) -> AigenError | None:
        self._refused_sizes[call.document_id] = call.image_bytes
        smallest = min(self._refused_sizes.values())
        if len(self._refused_sizes) < REFUSED_SIZES or self._largest_answered >= smallest:
            return None
        return ContractError(
            f"something before the endpoint refuses large bodies (HTTP 413): {len(self._refused_sizes)} images of "
            f"{smallest:,} to {max(self._refused_sizes.values()):,} bytes were refused, and the largest image that was "
            f"answered had {self._largest_answered:,} bytes, while the API itself takes 10 MB: raise the limit of the "
            "gateway or proxy, then clear the task"
        )

    def _unknown_code(self, call: CallRecord) -> AigenError | None:
        match call.verdict:
            case Refused(known=False):
                self._unknown_codes += 1
            case Extracted() | Refused():
                self._unknown_codes = 0
        if self._unknown_codes < self._unknown_code_limit:
            return None
        return ContractError(
            f"{self._unknown_codes} answers in a row carried error codes that the contract does not list, and none "
            "succeeded: the API has changed. Their dead letters have the codes; upgrade the provider before the task "
            "is cleared"
        )

    def _down(self) -> AigenError | None:
        if self.breaker.failed_probes < _MAX_FAILED_PROBES:
            return None
        down = ServiceUnavailableError(
            "the AIGEN endpoint fails for every document (the circuit breaker is open): nothing was dead-lettered for "
            "it, and the next try goes on from here"
        )
        return self._refused_for_all() or self.unreachable_error() or down

    def access_error(self) -> AuthenticationError:
        """The error of a try in which access is refused for all documents, though not in the contract's words."""
        return AuthenticationError(
            "access to the endpoint is refused for every document (HTTP 401 or 403, not in the API's own words): check "
            "the password and the host of the AIGEN connection, and whether a firewall or proxy stands between"
        )

    def unreachable_error(self) -> ServiceUnavailableError | None:
        """The error of a try in which no connection could be made at all; None in any other."""
        if self._reached:
            return None
        return ServiceUnavailableError(
            "the endpoint cannot be reached: is the host of the AIGEN connection right, and may this machine connect "
            "to it? Nothing was dead-lettered, and the next try goes on from here"
        )

    def outage_error(self, failed: Iterable[str]) -> AigenError:
        """The error of a try that ends for an outage. ``failed`` has the code of each document that still fails."""
        codes = Counter(map(path_segment, failed))
        if not self.answered and set(codes) == {ACCESS_REFUSED}:
            return self.access_error()
        if (unreachable := self.unreachable_error()) is not None:
            return unreachable
        documents = counted(codes.total(), "document")
        if not self.answered:
            return ServiceUnavailableError(
                f"the AIGEN endpoint failed for {documents} while no other was answered ({codes_text(codes)}): they "
                "are not dead-lettered but wait for the next try"
            )
        return ServiceUnavailableError(
            f"the AIGEN endpoint failed for {documents} while it answered {self.answered} others "
            f"({codes_text(codes)}): they are not dead-lettered but wait for the next try"
        )
