# SPDX-License-Identifier: Apache-2.0
"""When Airflow tries a task again, if the endpoint asked for a longer pause than a document may wait.

Retry policies exist from Airflow 3.3 on. Before that version the task's own ``retry_delay`` holds.
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
    """A retry policy that waits as long as the endpoint asked for, if that is longer than the task's ``retry_delay``.

    Everything else stays as it is without a policy. Any task that calls AIGEN may use it:
    ``@task(retry_policy=RetryAfterPolicy())``."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - the task and Airflow decide how often
        max_tries: int,  # noqa: ARG002
        context: Context | None = None,
    ) -> RetryDecision:
        """Decide how long to wait before the next try. The number of retries stays the task's own."""
        asked_s = _asked_s(exception)
        own = getattr((context or {}).get("task"), "retry_delay", None)
        if asked_s is None or (isinstance(own, timedelta) and own.total_seconds() >= asked_s):
            return RetryDecision.default()
        return RetryDecision.retry(
            timedelta(seconds=asked_s), reason=f"the AIGEN endpoint asks to be left alone for {asked_s:.0f} s"
        )

    def serialize(self) -> dict[str, Any]:
        """The policy's settings: it has none."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> RetryAfterPolicy:  # noqa: ARG003 - there are no settings
        return cls()


def default_retry_policy() -> RetryAfterPolicy | None:
    """The policy of an operator that has none of its own; None before Airflow 3.3."""
    return None if RetryDecision is None else RetryAfterPolicy()


def _asked_s(exception: BaseException) -> float | None:
    """The seconds that the endpoint asked for, if a ``ServiceUnavailableError`` is, or caused, what the task raised."""
    seen: BaseException | None = exception
    while seen is not None:
        if isinstance(seen, ServiceUnavailableError) and seen.retry_after_s is not None:
            return seen.retry_after_s
        seen = seen.__cause__
    return None
