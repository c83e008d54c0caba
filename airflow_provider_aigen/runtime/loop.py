# SPDX-License-Identifier: Apache-2.0
"""The one event loop of a task (design §7), and how it is stopped.

DAG files import this module: an operator has its runner from the start, because ``on_kill`` may come at any time.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_aigen.core.errors import StoppedError

if TYPE_CHECKING:
    from airflow_provider_aigen.pipeline import Stop

__all__ = ["LoopRunner"]

T = TypeVar("T")


class LoopRunner:
    """A runner of one task's event loop, which a signal handler can stop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Stop | None = None
        self._wanted = False
        self._over = False

    def run(self, main: Callable[[Stop], Coroutine[Any, Any, T]], stop: Stop) -> T:
        """Like ``asyncio.run(main(stop))``, except that what a signal handler raises (a timeout, SIGTERM on Airflow 2)
        stops the run in order, with its grace time, before it goes on. A stop that was asked for before is kept."""
        with _frozen_heap(), asyncio.Runner() as runner:
            loop = runner.get_loop()
            self._stop = stop
            loop.set_exception_handler(partial(_stop_for, stop))
            self._over, self._loop = False, loop
            try:
                if self._wanted:
                    raise _stopped()
                task = loop.create_task(main(stop))
                try:
                    return loop.run_until_complete(task)
                except BaseException:
                    if not task.done():
                        stop.set(StoppedError("the task was interrupted; what was answered is kept"))
                        with suppress(Exception):
                            loop.run_until_complete(task)
                    raise
            finally:
                self._loop, self._wanted, self._over = None, False, True

    def stop(self) -> None:
        """Stop the run in order: no new call begins, and those in flight may finish. A signal handler or a thread may
        call this, any number of times. Before the loop runs it is remembered, and after it nothing happens."""
        if self._over:
            return
        self._wanted = True
        loop, stop = self._loop, self._stop
        if loop is None or stop is None:
            return
        with suppress(RuntimeError):  # the loop was closed between the look and the call
            loop.call_soon_threadsafe(stop.set, _stopped())


@contextmanager
def _frozen_heap() -> Iterator[None]:
    """Keep what exists already out of garbage collection. Airflow and its libraries are some 350,000 objects: a full
    collection looks at each of them, and the event loop stands for 0.4 s."""
    if gc.get_freeze_count():  # a parent process froze them, and unfreezes them
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _stop_for(stop: Stop, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Stop for what a signal handler raised while one of the loop's callbacks ran: asyncio would log it and go on."""
    error = context.get("exception")
    if isinstance(error, BaseException) and not isinstance(error, (Exception, asyncio.CancelledError)):
        stop.set(error)
    else:
        loop.default_exception_handler(context)


def _stopped() -> StoppedError:
    return StoppedError("the task was told to stop; what was answered is kept, and the next try goes on from there")
