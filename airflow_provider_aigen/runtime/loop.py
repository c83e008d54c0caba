# SPDX-License-Identifier: Apache-2.0
"""The one event loop of a task (design §7), and how it is stopped.

DAG files import this module: an operator has its runner from the start, because ``on_kill`` may come at any time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_aigen.core.errors import StoppedError
from airflow_provider_aigen.signals import Held, held

if TYPE_CHECKING:
    from airflow_provider_aigen.pipeline import Stop

__all__ = ["LoopRunner"]

T = TypeVar("T")

_TURN_S = 0.0005
_THREADS_OF_OBSTORE = "TOKIO_WORKER_THREADS"
_LAST_TURN_S = 0.05
_OLD = 1000  # Python's own value is 10


class LoopRunner:
    """A runner of one task's event loop, which a signal handler can stop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: Stop | None = None
        self._wanted = False
        self._over = False

    def run(self, main: Callable[[Stop], Coroutine[Any, Any, T]], stop: Stop) -> T:
        """Like ``asyncio.run(main(stop))``, except that what a signal handler raises (a timeout, SIGTERM on Airflow 2)
        stops the run in order, with its grace time, before it goes on. A second one cancels it. A stop that was asked
        for before is kept."""
        with (
            _rare_full_collections(),
            _short_turns(),
            _one_thread_for_s3(),
            _last_turn_of_obstore(factory := _loop_factory()),
            asyncio.Runner(loop_factory=factory) as runner,
        ):
            loop = runner.get_loop()
            self._stop = stop
            loop.set_exception_handler(partial(_stop_for, stop))
            self._over, self._loop = False, loop
            try:
                if self._wanted:
                    raise _stopped()
                interrupt = partial(_call_soon, loop, stop.set, _interrupted())
                task = loop.create_task(main(stop))
                with held(interrupt, partial(_call_soon, loop, self._cancel, loop, task)) as signals:
                    return _run(loop, task, stop, signals)
            finally:
                self._loop, self._wanted, self._over = None, False, True

    def stop(self) -> None:
        """Stop the run in order: no new call begins, and those in flight may finish. A signal handler or a thread may
        call this, any number of times. Before the loop runs it is remembered, and after it nothing happens."""
        if self._over:
            return
        self._wanted = True
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            _call_soon(loop, stop.set, _stopped())

    def _cancel(self, loop: asyncio.AbstractEventLoop, task: asyncio.Task[Any]) -> None:
        if self._loop is loop:  # else its tasks are cancelled already, and are about to end
            task.cancel()


def _run(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T], stop: Stop, signals: Held) -> T:
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done() and signals.error is None:
            stop.set(_interrupted())
            with suppress(Exception):
                loop.run_until_complete(task)
        raise


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *arguments: Any) -> None:
    with suppress(RuntimeError):  # the loop was closed between the look and the call
        loop.call_soon_threadsafe(callback, *arguments)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The one of uvloop where that is installed, and Airflow 3 installs it: a document takes a tenth less processor
    time. None elsewhere: asyncio's own."""
    try:
        uvloop = import_module("uvloop")
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


@contextmanager
def _rare_full_collections() -> Iterator[None]:
    """Let garbage collection look at all objects rarely; what is new is looked at as often as ever.

    Airflow and its libraries are some 350,000 objects, and the rows that wait for their commit up to half a million. A
    full collection looks at each of them, and the event loop stands for 0.3 s. What exists already is left out of it
    (unless a parent process has done that), and it comes a hundred times more rarely."""
    young, middle, old = gc.get_threshold()
    is_frozen = gc.get_freeze_count() > 0
    gc.set_threshold(young, middle, max(old, _OLD))
    if not is_frozen:
        gc.freeze()
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)
        if not is_frozen:
            gc.unfreeze()


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let threads take turns every half millisecond. The event loop gives the interpreter away with each request, and
    while a thread builds columns or reads a long answer it would get it back after 5 ms, Python's own value, each
    time."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(min(before_s, _TURN_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


@contextmanager
def _one_thread_for_s3() -> Iterator[None]:
    """Let obstore, which starts its threads with its first request, have one. As many as there are processors wake
    each other for each request, and a third of all switches between threads is that. What the environment says already
    stands."""
    if _THREADS_OF_OBSTORE in os.environ:
        yield
        return
    os.environ[_THREADS_OF_OBSTORE] = "1"
    try:
        yield
    finally:
        os.environ.pop(_THREADS_OF_OBSTORE, None)


@contextmanager
def _last_turn_of_obstore(loop_factory: object | None) -> Iterator[None]:
    """Let obstore's thread have the interpreter once more. With asyncio's own loop, it wants it again when it has
    handed over an answer: a process that ends before that is aborted. ``uvloop`` does not take it away."""
    try:
        yield
    finally:
        if loop_factory is None:
            time.sleep(_LAST_TURN_S)


def _stop_for(stop: Stop, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Stop for what is no ``Exception`` and came out of a callback: asyncio would log it and go on."""
    error = context.get("exception")
    if isinstance(error, BaseException) and not isinstance(error, (Exception, asyncio.CancelledError)):
        stop.set(error)
    else:
        loop.default_exception_handler(context)


def _stopped() -> StoppedError:
    return StoppedError("the task was told to stop; what was answered is kept, and the next try goes on from there")


def _interrupted() -> StoppedError:
    return StoppedError("the task was interrupted; what was answered is kept")
