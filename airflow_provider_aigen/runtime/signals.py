# SPDX-License-Identifier: Apache-2.0
"""What a signal handler raises while the event loop runs, held until the run has ended in order.

A handler runs between any two instructions of the main thread, also within the loop's own code. What it raises there
may end a callback halfway, and then the loop waits for ever; or only a log shows it, and the run goes on.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

__all__ = ["Held", "held"]

_Handler = Callable[[int, FrameType | None], Any]


class Held:
    """``error`` is the first exception that a handler raised, None as long as none did."""

    def __init__(self, at_first: Callable[[], None], then: Callable[[], None]) -> None:
        self._at_first = at_first
        self._then = then
        self._process = os.getpid()
        self.error: BaseException | None = None

    def handle(self, handler: _Handler, number: int, frame: FrameType | None) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            if os.getpid() != self._process:  # it was forked: it has the handlers, and not the loop
                raise
            if self.error is not None:
                self._then()
                raise
            self.error = error
            self._at_first()


@contextmanager
def held(at_first: Callable[[], None], then: Callable[[], None]) -> Iterator[Held]:
    """Hold the first exception of a signal handler, call ``at_first``, and raise it at the end. The next one is raised
    where it strikes, after ``then`` is called: it ends what does not end in order. Only the main thread has handlers.
    In another one nothing is held."""
    found = Held(at_first, then)
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
