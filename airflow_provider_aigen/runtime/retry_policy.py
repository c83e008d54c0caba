# SPDX-License-Identifier: Apache-2.0
"""An endpoint that asks to be left alone for longer than a document may wait says when the task is to be tried again.

Retry policies exist from Airflow 3.3 on. Before it there is none, and the task's own ``retry_delay`` holds.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.core.errors import ServiceUnavailableError

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context, RetryDecision, RetryPolicy
else:
    try:
        from airflow.providers.common.compat.sdk import RetryDecision, RetryPolicy
    except ImportError:
        RetryDecision, RetryPolicy = None, object

__all__ = ["RetryAfterPolicy", "default_retry_policy"]


class RetryAfterPolicy(RetryPolicy):
    """Retry when the endpoint asked for it, where that is later than the task's own ``retry_delay``; everything else
    stays as it would be without a policy. For any task that calls AIGEN: ``@task(retry_policy=RetryAfterPolicy())``."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - how often is the task's matter, and Airflow's
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,
    ) -> RetryDecision:
        """The number of retries is the task's, whatever this says."""
        asked_s = _asked_s(exception)
        own = getattr((context or {}).get("task"), "retry_delay", None)
        if asked_s is None or (isinstance(own, timedelta) and own.total_seconds() >= asked_s):
            return RetryDecision.default()
        return RetryDecision.retry(
            timedelta(seconds=asked_s), reason=f"the AIGEN endpoint asks to be left alone for {asked_s:.0f} s"
        )

    def serialize(self) -> dict[str, Any]:
        """It has no settings."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> RetryAfterPolicy:  # noqa: ARG003 - it has none
        return cls()


def default_retry_policy() -> RetryAfterPolicy | None:
    """None before Airflow 3.3."""
    return None if RetryDecision is None else RetryAfterPolicy()


def _asked_s(exception: BaseException) -> float | None:
    """Seconds, of the ``ServiceUnavailableError`` behind what the task raised."""
    seen: BaseException | None = exception
    while seen is not None:
        if isinstance(seen, ServiceUnavailableError) and seen.retry_after_s is not None:
            return seen.retry_after_s
        seen = seen.__cause__
    return None
