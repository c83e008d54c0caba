# SPDX-License-Identifier: Apache-2.0
"""What to do after a call: (verdict, what was tried, health, time) → ``Decision``.

Nothing is repeated here that may have been billed: what failed is handed to :mod:`.suspects`. A call is made again at
once where no connection could be made, and after a pause where the endpoint asks for patience. Backoff is full jitter,
``jitter * min(cap, base * 2^n)`` with n retries behind it; a usable ``Retry-After`` is a floor.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_provider_aigen.core.config import RetryConfig
from airflow_provider_aigen.core.errors import AccountError, AigenError, AuthenticationError, ServiceUnavailableError
from airflow_provider_aigen.core.service.health import Health
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

__all__ = ["Attempts", "Decision", "EndRun", "Keep", "Later", "Retry", "decide"]


@dataclass(frozen=True, slots=True)
class Keep:
    """The answer stands: keep it."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Call again in ``delay_s`` seconds. ``pause_everyone``: nobody who shares the limiter calls before that."""

    delay_s: float
    pause_everyone: bool = False


@dataclass(frozen=True, slots=True)
class Later:
    """The call failed in a way that may pass: whether the document is called again, :mod:`.suspects` decides."""


@dataclass(frozen=True, slots=True)
class EndRun:
    """The run cannot go on; ``error`` is raised when it has drained."""

    error: AigenError


Decision = Keep | Retry | Later | EndRun


@dataclass(frozen=True, slots=True)
class Attempts:
    """The calls that one request has cost so far. ``calls`` counts the call that is decided on, so it begins with 1;
    ``connects`` those before it for which no connection could be made."""

    calls: int = 1
    connects: int = 0

    def after(self, verdict: Verdict) -> Attempts:
        """The same with one more call, made because of ``verdict``."""
        unconnected = isinstance(verdict, Failed) and not verdict.left
        return replace(self, calls=self.calls + 1, connects=self.connects + unconnected)


def decide(
    verdict: Verdict,
    attempts: Attempts,
    health: Health,
    *,
    time_left_s: float,
    jitter: float,
    config: RetryConfig,
) -> Decision:
    """What to do after a call that ``health`` has recorded. ``time_left_s`` is what the document's deadline leaves,
    ``jitter`` a random number from 0 to 1."""
    match verdict:
        case Extracted() | Refused() | Unknown():
            return Keep()
        case Failed():
            return _after_failure(verdict, attempts, time_left_s, jitter, config)
        case Throttled():
            return _after_throttle(verdict, attempts, health, time_left_s, jitter, config)
        case Fatal():
            return EndRun(_fatal_error(verdict))


def _after_failure(
    failed: Failed, attempts: Attempts, time_left_s: float, jitter: float, config: RetryConfig
) -> Decision:
    delay_s = _backoff_s(attempts.connects, jitter, config)
    if failed.left or attempts.connects >= config.connect_retries or delay_s > time_left_s:
        return Later()
    return Retry(delay_s)


def _after_throttle(
    throttled: Throttled, attempts: Attempts, health: Health, time_left_s: float, jitter: float, config: RetryConfig
) -> Decision:
    asked_s = throttled.retry_after_s
    if asked_s is None:
        # The health counts these, and ends the run after the last pause.
        return Retry(health.throttle_pause_s, pause_everyone=True)
    # Jitter on top, so that a Retry-After of 0 is no busy loop.
    delay_s = max(asked_s, _backoff_s(attempts.calls, jitter, config))
    if delay_s <= time_left_s:
        return Retry(delay_s, pause_everyone=True)
    return EndRun(
        ServiceUnavailableError(
            f"the endpoint asks for more patience than a document has (HTTP {throttled.status} with Retry-After)",
            retry_after_s=asked_s,
        )
    )


def _backoff_s(retries: int, jitter: float, config: RetryConfig) -> float:
    # The exponent is bounded because a float is.
    return jitter * min(config.backoff_cap_s, config.backoff_base_s * 2.0 ** min(retries, 64))


def _fatal_error(fatal: Fatal) -> AigenError:
    if fatal.reason is FatalReason.NO_CREDIT:
        return AccountError(
            f"the endpoint says that the account's credit or quota is exhausted (HTTP {fatal.status}): top it up at "
            "the vendor, then clear the task"
        )
    return AuthenticationError(_fatal_message(fatal))


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
        case _:
            return (
                "the endpoint's certificate cannot be trusted, so the key was not sent: check the host of the AIGEN "
                "connection, this machine's CA certificates and its clock, and any proxy between"
            )
