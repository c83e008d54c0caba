# SPDX-License-Identifier: Apache-2.0
"""Circuit breaker over passing failures (design §5); :mod:`.health` says which calls are recorded.

closed ──(10 failures in a row, or half of the last 50)──► open ──(cool-down)──► half-open ──(probe succeeds)──► closed

The probe is a real document. One that fails opens the breaker again, for twice as long, up to five minutes. Times are
seconds of one monotonic clock, passed in.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

__all__ = ["Breaker", "BreakerState"]

_MAX_COOLDOWN_S = 300.0
# While another call probes there is no time to wait for, only its result.
_PROBE_POLL_S = 1.0


class BreakerState(StrEnum):
    """While the breaker is open no call begins, while it is half-open exactly one."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker:
    """The circuit breaker of one service. It is not thread-safe and belongs to one event loop. ``failed_probes`` is the
    number of probes that failed in a row."""

    def __init__(self, threshold: int = 10, window: int = 50, ratio: float = 0.5, cooldown_s: float = 30.0) -> None:
        self._threshold = threshold
        self._ratio = ratio
        self._first_cooldown_s = cooldown_s
        self._cooldown_s = cooldown_s
        self._results: deque[bool] = deque(maxlen=window)
        self._failures_in_a_row = 0
        self._opened_at: float | None = None
        self._probing = False
        self.failed_probes = 0

    def state(self, now: float) -> BreakerState:
        if self._opened_at is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._opened_at + self._cooldown_s else BreakerState.HALF_OPEN

    def may_call(self, now: float) -> bool:
        """Whether a call may start. Where this is True while half-open, the call is the probe: its caller has to record
        a result or ``release_probe``, and no other caller gets True until then."""
        state = self.state(now)
        if state is BreakerState.HALF_OPEN and not self._probing:
            self._probing = True
            return True
        return state is BreakerState.CLOSED

    def wait_s(self, now: float) -> float:
        """Seconds after which to ask ``may_call`` again; 0 where, and only where, it would say True now."""
        if self._opened_at is None:
            return 0.0
        cooling_s = self._opened_at + self._cooldown_s - now
        if cooling_s > 0:
            return cooling_s
        return _PROBE_POLL_S if self._probing else 0.0

    def record_success(self, now: float) -> None:
        """A sign that the service is alive."""
        if self.state(now) is BreakerState.HALF_OPEN:
            # Old failures would open it again at once.
            self._results.clear()
            self._opened_at = None
            self._probing = False
            self.failed_probes = 0
            self._cooldown_s = self._first_cooldown_s
        # While it is open, a late answer to an earlier call does not close it: where half of the calls fail, such an
        # answer always comes.
        self._results.append(True)
        self._failures_in_a_row = 0

    def record_failure(self, now: float) -> None:
        """A systemic failure."""
        self._results.append(False)
        self._failures_in_a_row += 1
        state = self.state(now)
        if state is BreakerState.CLOSED:
            if self._failures_in_a_row >= self._threshold or self._too_many():
                self._opened_at = now
        elif state is BreakerState.HALF_OPEN and self._probing:
            self._opened_at = now
            self._probing = False
            self.failed_probes += 1
            self._cooldown_s = min(self._cooldown_s * 2, max(_MAX_COOLDOWN_S, self._first_cooldown_s))

    def release_probe(self) -> None:
        """The probe ended without saying anything about the service, cancelled for example: the next caller probes."""
        self._probing = False

    def _too_many(self) -> bool:
        failures = self._results.count(False)
        return len(self._results) == self._results.maxlen and failures >= self._ratio * len(self._results)
