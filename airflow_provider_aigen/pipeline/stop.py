# SPDX-License-Identifier: Apache-2.0
"""The one way to end a run early (design §5, Stop)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Stop"]

T = TypeVar("T")


class Stop:
    """The signal that ends a run early. It is set once, by the first error or by the task's ``on_kill``, and no call
    begins after it.

    It belongs to one event loop; from elsewhere go through ``loop.call_soon_threadsafe``."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._broken_off: set[asyncio.Task[Any]] = set()
        self.error: BaseException | None = None

    def set(self, error: BaseException) -> None:
        """Stop the run for ``error``. The first one stands: what follows is mostly its consequence."""
        if self.error is None:
            self.error = error
            self._event.set()
            for task in self._broken_off:
                task.cancel()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    async def or_result(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, or the stop's error once it is set: for work that may be broken off anywhere."""
        running = asyncio.create_task(work)
        self._broken_off.add(running)
        if self.is_set:
            running.cancel()
        try:
            return await running
        except asyncio.CancelledError:
            if self.error is not None and running.cancelled():
                raise self.error from None
            raise
        finally:
            self._broken_off.discard(running)
