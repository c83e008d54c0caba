# SPDX-License-Identifier: Apache-2.0
"""What a signal handler raises while an event loop runs, held until the run has ended in order.

A handler runs between any two instructions of the main thread, also within the loop's own code. What it raises there
may end a callback halfway, and then the loop waits for ever; or only a log shows it, and the run goes on.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import Any, TypeVar

__all__ = ["Held", "held", "run"]

T = TypeVar("T")

_Handler = Callable[[int, FrameType | None], Any]


class Held:
    """``error`` is the first exception that a handler raised, None as long as none did."""

    def __init__(self, at_first: Callable[[], None], at_second: Callable[[], None]) -> None:
        self._next = iter((at_first, at_second))
        self._process = os.getpid()
        self.error: BaseException | None = None

    def handle(self, handler: _Handler, number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            react = next(self._next, None)
            # A forked process has the handlers, and not the loop.
            if react is None or os.getpid() != self._process:
                raise
            self.error = self.error or error
            react()


@contextmanager
def held(at_first: Callable[[], None], at_second: Callable[[], None]) -> Iterator[Held]:
    """Hold what signal handlers raise, and raise the first of it at the end: ``at_first`` is called meanwhile, and
    ``at_second`` for the next one. A third one is raised where it strikes: it ends what does not even take notice. Only
    the main thread has handlers. In another one nothing is held."""
    found = Held(at_first, at_second)
    if threading.current_thread() is not threading.main_thread():
        yield found
        return
    before: dict[int, tuple[_Handler, _Handler]] = {}
    try:
        for number in signal.valid_signals():
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler, partial(found.handle, handler)
                signal.signal(number, before[number][1])
        yield found
    finally:
        for given, (handler, own) in before.items():
            if signal.getsignal(given) is own:
                signal.signal(given, handler)
        if found.error is not None:
            raise found.error from None


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like ``asyncio.run(main)``, except that what a signal handler raises, such as a task's timeout, cancels ``main``
    and is raised when that has ended."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main)

        def cancel() -> None:
            with suppress(RuntimeError):  # the loop was closed between the look and the call
                loop.call_soon_threadsafe(task.cancel)

        with held(cancel, cancel):
            return loop.run_until_complete(task)
