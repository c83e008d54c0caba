# SPDX-License-Identifier: Apache-2.0
"""A queue for callers in several threads, each with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

__all__ = ["ThreadQueue"]

_Ticket = tuple[asyncio.AbstractEventLoop, asyncio.Event]


class ThreadQueue:
    """A lock in the manner of ``asyncio.Lock``, for tasks of any thread and any event loop.

    First come, first served. A waiter that is cancelled leaves the queue. No event loop is blocked."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._queue: deque[_Ticket] = deque()

    async def __aenter__(self) -> None:
        ticket = asyncio.get_running_loop(), asyncio.Event()
        with self._guard:
            self._queue.append(ticket)
            is_first = len(self._queue) == 1
        if is_first:
            return
        try:
            await ticket[1].wait()
        except BaseException:
            self._leave(ticket)
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave(self._queue[0])

    def _leave(self, ticket: _Ticket) -> None:
        with self._guard:
            was_first = self._queue[0] is ticket
            self._queue.remove(ticket)
            if was_first and self._queue:
                loop, called = self._queue[0]
                loop.call_soon_threadsafe(called.set)
