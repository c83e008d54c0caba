# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from airflow_provider_aigen.adapters.clock import SystemClock


def test_it_is_the_machines_clock():
    clock = SystemClock()
    before = clock.monotonic()
    assert abs(clock.now() - datetime.now(UTC)) < timedelta(minutes=1)
    assert clock.now().utcoffset() == timedelta(0)
    asyncio.run(clock.sleep(0))
    assert clock.monotonic() >= before
