# SPDX-License-Identifier: Apache-2.0
"""Waiting for something, but not for ever; and work that would make the event loop wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

from airflow_provider_aigen.ports import Clock

__all__ = ["at_once", "beside", "reading_takes", "wait_up_to"]

T = TypeVar("T")

# Bytes that are parsed, sorted or written within a few milliseconds.
_LARGE = 256 * 1024
# An answer takes so much longer, for each of its bytes, to be parsed, flattened or written to the state.
_OF_AN_ANSWER = 8


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


def reading_takes(body: bytes) -> int:
    """The ``size`` of work on the body of an answer. One of many pages takes tens of milliseconds, and as many answers
    may come at once as calls are in flight."""
    return len(body) * _OF_AN_ANSWER


async def beside(size: int, work: Callable[..., T], *arguments: Any) -> T:
    """What ``work`` returns. It runs in a thread if it takes longer than the event loop may stand still, as it does for
    ``size`` bytes or more."""
    if size < _LARGE:
        return work(*arguments)
    return await asyncio.get_running_loop().run_in_executor(_one_thread(), work, *arguments)


@cache
def _one_thread() -> ThreadPoolExecutor:
    """Several would only take the interpreter from each other, and the event loop would wait for all of them."""
    return ThreadPoolExecutor(1, thread_name_prefix="aigen-beside")
