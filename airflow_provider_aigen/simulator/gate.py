# SPDX-License-Identifier: Apache-2.0
"""What stands before the service: outages, keys, pace, credit, in this order. Each may turn a call away."""

from __future__ import annotations

import collections
import hmac

from airflow_provider_aigen.simulator.codes import Answer
from airflow_provider_aigen.simulator.options import Options

__all__ = ["Gate"]


class Gate:
    """Lets calls through or not. It remembers the calls that it let through in the last second, and how many took a
    unit of credit. Refusals have no body that the contract knows: only their status counts."""

    def __init__(self) -> None:
        self._let_through: collections.deque[float] = collections.deque()
        self._on_credit = 0

    def reset(self) -> None:
        """Forgets pace and credit."""
        self._let_through.clear()
        self._on_credit = 0

    def in_outage(self, options: Options, *, nth_call: int, uptime_s: float) -> bool:
        """Whether this call finds the service down."""
        return (
            options.outage
            or any(start <= uptime_s < start + length for start, length in options.outage_seconds)
            or any(first <= nth_call <= last for first, last in options.outage_calls)
        )

    def refusal(self, options: Options, *, key: str | None, now: float) -> Answer | None:
        """The answer to a call that doesn't get through, None for one that does. ``now``: monotonic seconds."""
        if key is None or not _one_of(key, (*options.keys, *options.forbidden_keys)):
            return _refused(401, "Unauthorized")
        if not _one_of(key, options.keys):
            return _refused(403, "Forbidden")
        if options.rate_limit is not None:
            while self._let_through and now - self._let_through[0] >= 1:
                self._let_through.popleft()
            if len(self._let_through) >= options.rate_limit:
                headers = {} if options.retry_after is None else {"Retry-After": options.retry_after}
                return _refused(429, "Too Many Requests", headers)
            self._let_through.append(now)
        if options.credit is not None and self._on_credit >= options.credit:
            return _refused(429, "Too Many Requests")
        self._on_credit += 1
        return None

    def give_back(self) -> None:
        """The call was not billed after all: its unit of credit is free again."""
        self._on_credit = max(0, self._on_credit - 1)  # a reset may have come between


def _one_of(key: str, keys: tuple[str, ...]) -> bool:
    return any(hmac.compare_digest(key.encode(), known.encode()) for known in keys)


def _refused(status: int, message: str, headers: dict[str, str] | None = None) -> Answer:
    return Answer.of_json(status, {"message": message}, None, headers)
