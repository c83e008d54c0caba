# SPDX-License-Identifier: Apache-2.0
"""The machine's clock; the only place of the adapters and the pipeline that asks for the time to decide anything."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

__all__ = ["SystemClock"]


class SystemClock:
    """Fulfils :class:`~airflow_provider_aigen.ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
