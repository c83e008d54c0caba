# SPDX-License-Identifier: Apache-2.0
"""What a limit means, and which share of it is used: the same for one task and for all that share a limit through
Redis (design §6)."""

from __future__ import annotations

import math

__all__ = ["NETWORK_JITTER_S", "USED_SHARE", "Pace", "window"]

USED_SHARE = 0.985
"""Of the limit, while work waits. The rest is what calls that start late need for the window behind them."""
NETWORK_JITTER_S = 0.010
"""By how much the network may bring requests closer together than they left."""


def window(rate: float) -> tuple[int, float]:
    """How many calls may start in any so many seconds: ``ceil(r)`` in ``ceil(r) / r``."""
    calls = math.ceil(rate - 1e-9)  # a rate such as 7 / 3 * 3 is 7, whatever a float says
    return calls, calls / rate


class Pace:
    """Which share of a limit is used now: additive increase, multiplicative decrease (AIMD). No clock, no waiting.

    - Throttled: ``share = max(0.05, share / 2)``, once for all calls that had started before the pace was lowered.
    - Succeeded, by a call that started after it was: ``share = min(1, share + min(0.1, 1 / (60 * share * limit)))``.
      While every turn is used and succeeds this is 1/60 of the limit a second, so 30 s from a half to all of it.
    """

    FLOOR = 0.05
    RECOVERY_S = 60.0
    LARGEST_STEP = 0.1

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.share = 1.0
        self._slowed_at = -math.inf

    @property
    def rate(self) -> float:
        """Calls a second, at most the limit."""
        return self.limit * self.share

    def slow_down(self, now: float, started_at: float) -> None:
        if started_at > self._slowed_at:
            self.share = max(self.FLOOR, self.share / 2)
            self._slowed_at = now

    def speed_up(self, started_at: float) -> None:
        if started_at > self._slowed_at:
            self.share = min(1.0, self.share + min(self.LARGEST_STEP, 1 / (self.RECOVERY_S * self.rate)))
