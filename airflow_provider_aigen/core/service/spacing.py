# SPDX-License-Identifier: Apache-2.0
"""How far apart the calls of one task begin where nothing else keeps them apart.

Calls that begin together are answered together. Their answers are read and kept together, and so their places are free
together for the next ones. Such a wave waits for the processor and for S3, which do nothing until the next one comes.
"""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Spacing"]

# ``n`` calls in flight that take ``t`` seconds each begin ``t / n`` seconds apart. With less, late ones catch up.
_SHARE = 0.9
# Longer than the work on a document takes. A task is longer by at most this for each of its calls in flight.
_MOST_S = 0.010


class Spacing:
    """Of up to ``in_flight`` calls at once. The shortest of the last calls counts, so slow calls do not hold back
    others."""

    def __init__(self, in_flight: int) -> None:
        self._in_flight = in_flight
        self._latencies_s: deque[float] = deque(maxlen=in_flight)
        self._next_s = -math.inf

    def wait_s(self, now: float) -> float:
        """In how many seconds the next call may begin. It is counted as one that begins then."""
        begins_s = max(now, self._next_s)
        known = len(self._latencies_s) == self._in_flight
        apart_s = _SHARE * min(self._latencies_s) / self._in_flight if known else 0.0
        self._next_s = begins_s + min(apart_s, _MOST_S)
        return begins_s - now

    def ended(self, latency_s: float) -> None:
        """A call took so long."""
        self._latencies_s.append(latency_s)
