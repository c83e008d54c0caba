# SPDX-License-Identifier: Apache-2.0
"""What the tests of both limiters hold them to, and the clock that they do it on."""

from __future__ import annotations

import math

from tests.kit.clock import FakeClock


class LateClock(FakeClock):
    """Wakes sleepers a little late, as the timers of an event loop do."""

    def __init__(self, rng, most_s):
        super().__init__()
        self._rng = rng
        self._most_s = most_s

    async def sleep(self, seconds):
        await super().sleep(seconds + self._rng.uniform(0, self._most_s))


def assert_within(rate, starts):
    """No window of ceil(rate) / rate seconds holds more than ceil(rate) starts: for a whole rate, no sliding second."""
    most = math.ceil(rate)
    for first, next_one in zip(starts, starts[most:], strict=False):
        assert next_one - first >= most / rate
