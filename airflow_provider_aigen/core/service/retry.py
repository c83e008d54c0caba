# SPDX-License-Identifier: Apache-2.0
"""(verdict, what was tried, budgets, time) → ``RetryDecision`` (design §5, Retries). The only layer that retries.

There are two budgets: a free retry repeats a request that surely was not processed, a billed one may be paid twice.
After a failure of the service a billed retry is deferred, because in an outage it would only be used up, and so is one
more free retry when those at once are spent. Nothing is retried past the document's deadline. Delays are full jitter,
``jitter * min(cap, base * 2^n)`` with n retries behind it; a usable ``Retry-After`` is a floor.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_aigen.core.config import RetryConfig
from airflow_provider_aigen.core.errors import AccountError, AigenError, AuthenticationError, ServiceUnavailableError
from airflow_provider_aigen.core.models import FailureKind
from airflow_provider_aigen.core.service.classify import (
    Extracted,
    Fatal,
    FatalReason,
    Malformed,
    Refused,
    ServiceFailed,
    Throttled,
    Verdict,
)

__all__ = ["Abort", "Attempts", "Deferral", "Final", "Retry", "RetryDecision", "decide", "parse_retry_after"]

_MAX_RETRY_AFTER_S = 3600.0
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_LONGEST_DATE = 64


@dataclass(frozen=True, slots=True)
class Final:
    """The verdict stands, so the answer is to be kept."""


@dataclass(frozen=True, slots=True)
class Retry:
    """One more call, after ``delay_s`` seconds. ``billed``: it repeats a call that may be on the bill.
    ``pause_everyone``: nobody who shares the limiter calls before that. ``asked``: the endpoint itself named the delay,
    so only its time is counted and not the call."""

    delay_s: float
    billed: bool
    pause_everyone: bool = False
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Deferral:
    """The service failed, and a call at once would tell nothing new: whether the document is at fault or the service is
    down, the calls of others will tell. ``retry`` is the call that the document may get after that, None where the
    retries of its kind are spent."""

    retry: Retry | None


@dataclass(frozen=True, slots=True)
class Abort:
    """The run can't go on; ``error`` is to be raised when the calls in flight are over."""

    error: AigenError


RetryDecision = Final | Retry | Deferral | Abort


@dataclass(frozen=True, slots=True)
class Attempts:
    """The calls that were made for one document, counted by kind. ``calls`` includes the call whose verdict is decided
    on, so it begins with 1."""

    calls: int = 1
    free_retries: int = 0
    billed_retries: int = 0
    throttles: int = 0

    def after(self, decision: RetryDecision) -> Attempts:
        """The same with the call that a ``Retry`` asks for; any other decision adds none."""
        if not isinstance(decision, Retry):
            return self
        counted = replace(self, calls=self.calls + 1)
        if decision.billed:
            return replace(counted, billed_retries=self.billed_retries + 1)
        if not decision.pause_everyone:
            return replace(counted, free_retries=self.free_retries + 1)
        return counted if decision.asked else replace(counted, throttles=self.throttles + 1)


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, from seconds or an HTTP date; 0 for a date that has passed; None for anything absurd: negative,
    not a number and not a date, over one hour."""
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif not text or len(text) > _LONGEST_DATE:
        return None
    else:
        try:
            date = parsedate_to_datetime(text)
            # Without a zone it is GMT: HTTP knows no other.
            seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, TypeError, IndexError, OverflowError):
            return None
    return max(seconds, 0.0) if seconds <= _MAX_RETRY_AFTER_S else None


def decide(
    verdict: Verdict,
    attempts: Attempts,
    *,
    billed_left: int,
    elapsed_s: float,
    now: datetime,
    jitter: float,
    config: RetryConfig,
) -> RetryDecision:
    """What to do after a call. ``billed_left`` is what the run's budget of billed retries has left, ``elapsed_s`` the
    time since the document's first call, ``jitter`` a random number from 0 to 1."""
    moment = _Moment(attempts, billed_left, config.document_deadline_s - elapsed_s, now, jitter, config)
    match verdict:
        case Extracted():
            return Final()
        case Refused():
            return (moment.billed_retry() if verdict.perhaps_passing else None) or Final()
        case Malformed():
            return moment.billed_retry() or Final()
        case ServiceFailed():
            return _after_failure(verdict, moment)
        case Throttled():
            return _after_throttle(verdict, moment)
        case Fatal():
            return Abort(AuthenticationError(_fatal_message(verdict)))


@dataclass(frozen=True, slots=True)
class _Moment:
    """The circumstances of one decision."""

    attempts: Attempts
    billed_left: int
    time_left_s: float
    at: datetime
    jitter: float
    config: RetryConfig

    def free_retry(self, floor_s: float = 0.0) -> Retry | None:
        if self.attempts.free_retries >= self.config.free_retries:
            return None
        return self.in_time(Retry(max(floor_s, self.backoff_s(self.attempts.free_retries)), billed=False))

    def billed_retry(self, floor_s: float = 0.0) -> Retry | None:
        if self.attempts.billed_retries >= self.config.billed_retries or self.billed_left <= 0:
            return None
        return self.in_time(Retry(max(floor_s, self.backoff_s(self.attempts.billed_retries)), billed=True))

    def in_time(self, retry: Retry) -> Retry | None:
        return retry if retry.delay_s <= self.time_left_s else None

    def backoff_s(self, retries: int) -> float:
        return self.jitter * self.step_s(2.0, retries)

    def growing_pause_s(self) -> float:
        """2, 8, 30 s by default, each between its half and its whole: longer each time, whatever the jitter."""
        return self.step_s(4.0, self.attempts.throttles + 1) * (1 + self.jitter) / 2

    def step_s(self, factor: float, exponent: int) -> float:
        # The exponent is bounded because a float is.
        return min(self.config.backoff_cap_s, self.config.backoff_base_s * factor ** min(exponent, 64))


def _after_failure(failed: ServiceFailed, moment: _Moment) -> RetryDecision:
    floor_s = parse_retry_after(failed.retry_after, moment.at) or 0.0
    if failed.billed:
        return Deferral(moment.billed_retry(floor_s))
    if (retry := moment.free_retry(floor_s)) is not None:
        return retry
    if failed.kind is FailureKind.CONNECT:
        return Abort(
            ServiceUnavailableError(
                f"the endpoint can't be reached, {moment.attempts.calls} tries: is the host of the AIGEN connection "
                "right, and may this machine connect to it?"
            )
        )
    return Deferral(Retry(0.0, billed=False))


def _after_throttle(throttled: Throttled, moment: _Moment) -> RetryDecision:
    pause_s = parse_retry_after(throttled.retry_after, moment.at)
    if pause_s is not None:
        # Jitter on top, so that a Retry-After of 0 is no busy loop.
        asked = Retry(
            max(pause_s, moment.backoff_s(moment.attempts.calls)), billed=False, pause_everyone=True, asked=True
        )
        return moment.in_time(asked) or Abort(
            ServiceUnavailableError(
                f"the endpoint asks for more patience than a document has (HTTP {throttled.status} with Retry-After)",
                retry_after_s=pause_s,
            )
        )
    if throttled.status == 503:  # its Retry-After is absurd, so it counts as none
        return _after_failure(ServiceFailed(throttled.status, None, billed=False), moment)
    if moment.attempts.throttles >= moment.config.throttle_retries:
        return Abort(
            AccountError(
                f"the endpoint still answers 429 without Retry-After after {moment.attempts.throttles} pauses: either "
                "the account's credit is exhausted (top it up at the vendor), or requests_per_second is higher than "
                "the key may use (lower it)"
            )
        )
    retry = moment.in_time(Retry(moment.growing_pause_s(), billed=False, pause_everyone=True))
    return retry or Abort(
        ServiceUnavailableError("the endpoint throttles (HTTP 429) for longer than a document may wait")
    )


def _fatal_message(fatal: Fatal) -> str:
    match fatal.reason:
        case FatalReason.UNAUTHORIZED:
            return (
                "the endpoint refuses the API key (HTTP 401): check the password of the AIGEN connection; the key may "
                "be mistyped, revoked or another environment's"
            )
        case FatalReason.FORBIDDEN:
            return (
                "the API key has no right to this endpoint (HTTP 403): check document_type, and that the vendor has "
                "enabled it for this key"
            )
        case FatalReason.NO_ENDPOINT:
            return (
                f"there is no such endpoint (HTTP {fatal.status}): check the host of the AIGEN connection and "
                "document_type"
            )
        case FatalReason.REDIRECT:
            return (
                f"the endpoint redirects (HTTP {fatal.status}), which is never followed because it would carry the key "
                "to another address: put the final base URL into the host of the AIGEN connection"
            )
        case FatalReason.TLS:
            return (
                "the endpoint's certificate can't be trusted, so the key was not sent: check the host of the AIGEN "
                "connection, this machine's CA certificates and its clock, and any proxy between"
            )
