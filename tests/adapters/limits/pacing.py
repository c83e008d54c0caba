# SPDX-License-Identifier: Apache-2.0
"""What the tests of both limiters hold them to, and the clock that they do it on."""

from __future__ import annotations

import math

from tests.kit.clock import MovingClock


class LateClock(MovingClock):
    """Wakes sleepers a little late, as the timers of an event loop do, or up to a millisecond early, as uvloop's do."""

    def __init__(self, rng, most_s):
        super().__init__(0.00001, early_s=0.0)
        self._rng = rng
        self._most_s = most_s

    async def sleep(self, seconds):
        early_s = self._rng.choice((0.0, 0.0, 0.001))
        await super().sleep(seconds + self._rng.uniform(-early_s, self._most_s))


def assert_within(rate, starts):
    """No window of ceil(rate) / rate seconds holds more than ceil(rate) starts: for a whole rate, no sliding second."""
    most = math.ceil(rate)
    for first, next_one in zip(starts, starts[most:], strict=False):
        assert next_one - first >= most / rate
