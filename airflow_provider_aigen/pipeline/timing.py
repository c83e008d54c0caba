# SPDX-License-Identifier: Apache-2.0
"""Waiting for something, but not for ever; and work that would make the event loop wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from airflow_provider_aigen.ports import Clock

__all__ = ["at_once", "beside", "wait_up_to"]

T = TypeVar("T")

# Bytes that are parsed, sorted or written within a few milliseconds.
_LARGE = 256 * 1024


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


async def at_once(most: int, items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """``work`` for each of the items, ``most`` of them at once. Raises the first error, and breaks off the others."""
    some = asyncio.Semaphore(most)

    async def one(item: T) -> None:
        async with some:
            await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            for item in items:
                group.create_task(one(item))
    except BaseExceptionGroup as failed:
        # Callers tell permanent from transient by the class, and know no groups.
        raise failed.exceptions[0] from None


async def beside(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """What ``work`` returns. It runs in a thread if it takes longer than the event loop may stand still, as it does for
    ``size`` bytes or more."""
    if size < _LARGE:
        return work(*arguments)
    return await asyncio.to_thread(work, *arguments)
