# SPDX-License-Identifier: Apache-2.0
"""Waiting for something, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from airflow_provider_aigen.ports import Clock

__all__ = ["wait_up_to"]


async def wait_up_to(clock: Clock, seconds: float, tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Return when all of ``tasks`` are done, or after so many seconds; they go on then."""
    waited_for = list(tasks)
    if all(task.done() for task in waited_for):
        return
    over = asyncio.create_task(clock.sleep(seconds))
    finished = asyncio.create_task(asyncio.wait(waited_for))
    try:
        await asyncio.wait([over, finished], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (over, finished):
            task.cancel()
        await asyncio.gather(over, finished, return_exceptions=True)
