# SPDX-License-Identifier: Apache-2.0
"""What a limit means, and which share of it is used. It is the same for one task and for all tasks that share a limit
through Redis (design §6)."""

from __future__ import annotations

import math

__all__ = ["NETWORK_JITTER_S", "USED_SHARE", "Pace", "window"]

USED_SHARE = 0.985
"""The share of the limit that is used while work waits. The rest is room for calls that start late."""
NETWORK_JITTER_S = 0.010
"""By how much the network may bring requests closer together than they left."""


def window(rate: float) -> tuple[int, float]:
    """A number of calls and a number of seconds: in any window of so many seconds that many calls may start. They are
    ``ceil(r)`` and ``ceil(r) / r``."""
    calls = math.ceil(rate - 1e-9)  # a rate such as 7 / 3 * 3 is 7, whatever a float says
    return calls, calls / rate


class Pace:
    """The share of a limit that is used now: additive increase, multiplicative decrease (AIMD). It has no clock and
    never waits.

    - A call is throttled: ``share = max(0.05, share / 2)``, once for all calls that had started before.
    - A call that started after that succeeds: ``share = min(1, share + min(0.1, 1 / (60 * share * limit)))``. While
      every turn is used and succeeds this is 1/60 of the limit per second, so 30 s from a half to all of it.
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
        """Calls per second, at most the limit."""
        return self.limit * self.share

    def slow_down(self, now: float, started_at: float) -> None:
        if started_at > self._slowed_at:
            self.share = max(self.FLOOR, self.share / 2)
            self._slowed_at = now

    def speed_up(self, started_at: float) -> None:
        if started_at > self._slowed_at:
            self.share = min(1.0, self.share + min(self.LARGEST_STEP, 1 / (self.RECOVERY_S * self.rate)))
