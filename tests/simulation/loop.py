# SPDX-License-Identifier: Apache-2.0
"""An event loop in virtual time that runs several simulated processes, and can kill or pause one between any two steps.

Whatever runs in a process carries it in its context; the loop looks there before each step. A killed process runs no
further step, not even a ``finally``, as after SIGKILL. A paused one keeps its steps for later, as after SIGSTOP.
Steps of one process run in the order in which they became ready, as asyncio promises; whose step comes next is drawn.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

__all__ = ["Clock", "Loop", "Process", "Stuck"]

_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
_EPOCH = datetime(2026, 11, 22, tzinfo=UTC)
_MOST_STEPS = 400_000


class Stuck(AssertionError):
    """Nothing is left to run, or it never ends, though somebody waits."""


class Process:
    """One simulated operating-system process. ``die_at_step`` kills it before that step of its own."""

    def __init__(self, name: str, loop: Loop, run: object = None) -> None:
        self.name = name
        self.loop = loop
        self.run = run
        self.started = loop.now
        self.ended_at: float | None = None
        self.dead = False
        self.paused = False
        self.steps = 0
        self.die_at_step: int | None = None
        self.parked: list[_Handle] = []
        self.on_pause: Callable[[], None] = lambda: None
        self.lost: list[str] = []  # why calls may be made again: killed, paused, a write that failed, grace over
        self.ended = loop.create_future()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        context = copy_context()
        context.run(_PROCESS.set, self)
        task = context.run(self.loop.create_task, work)
        task.add_done_callback(self._done, context=self.loop.outside)

    def _done(self, task: asyncio.Task[Any]) -> None:
        if not self.ended.done():
            self.ended_at = self.loop.now
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            self.ended.set_result(error if error is not None else task.result())

    def kill(self) -> None:
        if self.dead or self.ended.done():
            return
        self.dead = True
        self.parked.clear()
        self.lost.append("killed")
        self.ended_at = self.loop.now
        self.ended.set_result(None)

    def runs_at(self, time: float) -> bool:
        return self.started <= time and (self.ended_at is None or time < self.ended_at)

    def pause(self) -> None:
        if not self.dead and not self.ended.done():
            self.paused = True
            self.lost.append("paused")
            self.on_pause()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.loop.ready.extend(self.parked)
            self.parked.clear()


class _Handle:
    __slots__ = ("args", "callback", "cancelled_", "context", "when_")

    def __init__(self, callback: Callable[..., Any], args: tuple[Any, ...], context: Context, when: float) -> None:
        self.callback, self.args, self.context, self.when_ = callback, args, context, when
        self.cancelled_ = False

    def cancel(self) -> None:
        self.cancelled_ = True

    def cancelled(self) -> bool:
        return self.cancelled_

    def when(self) -> float:
        return self.when_


_Future: Any = asyncio.Future


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """Hashes by number, so that a set of tasks has the same order whenever a seed is replayed."""

    number = 0

    def __hash__(self) -> int:
        return self.number


class Loop(asyncio.AbstractEventLoop):
    def __init__(self, rng: Random, *, shuffle: bool) -> None:
        self.now = 0.0
        self.ready: deque[_Handle] = deque()
        self.timers: list[tuple[float, int, _Handle]] = []
        self.rng = rng
        self.shuffle = shuffle
        self.outside = copy_context()
        self.steps = 0
        self._timers_made = 0
        self._tasks: list[_Task] = []

    # --- what asyncio asks of a loop --------------------------------------------------------------------------------

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return _Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        _Task.number = len(self._tasks)
        task = _Task(coro, loop=self, name=name or "task", context=context)
        task.number = len(self._tasks)
        asyncio._unregister_task(task)  # nobody asks for all tasks, and equal hashes would pile up there
        self._tasks.append(task)
        return task

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = _Handle(callback, args, copy_context() if context is None else context, 0.0)
        self.ready.append(handle)
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        handle = _Handle(callback, args, copy_context() if context is None else context, when)
        self._timers_made += 1
        heapq.heappush(self.timers, (when, self._timers_made, handle))
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """At once: a thread would bring the real scheduler in."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - the future carries it
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Nobody asked for a killed process's unfinished tasks."""

    # --- driving it -------------------------------------------------------------------------------------------------

    def later(self, delay: float, callback: Callable[..., Any], *args: Any) -> None:
        """Call outside of any process: what happens in the network and in the services goes on without the caller."""
        when = self.now + delay
        self._timers_made += 1
        heapq.heappush(self.timers, (when, self._timers_made, _Handle(callback, args, self.outside, when)))

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        previous = events._get_running_loop()
        events._set_running_loop(self)
        try:
            task = self.outside.run(self.create_task, main)
            self._run_until(task)
            return task.result()
        finally:
            self._close()
            events._set_running_loop(previous)

    def _run_until(self, task: asyncio.Task[Any]) -> None:
        """One loop, and local names: this is where a schedule's time goes."""
        ready, timers, outside, shuffle, done = self.ready, self.timers, self.outside, self.shuffle, task.done
        while not done():
            if timers and (not ready or timers[0][0] <= self.now):
                self._come_due()
            if not ready:
                raise Stuck("nothing is left to run, but the schedule has not ended")
            self.steps += 1
            if self.steps > _MOST_STEPS:
                raise Stuck(f"no end after {_MOST_STEPS} steps")
            handle = self._next() if shuffle and len(ready) > 1 else ready.popleft()
            if handle.cancelled_:
                continue
            context = handle.context
            process = None if context is outside else context.get(_PROCESS)
            if process is not None:
                if process.dead:
                    continue
                if process.paused:
                    process.parked.append(handle)
                    continue
                process.steps += 1
                if process.steps == process.die_at_step:
                    process.kill()
                    continue
            context.run(handle.callback, *handle.args)

    def _come_due(self) -> None:
        ready, timers = self.ready, self.timers
        while timers and (not ready or timers[0][0] <= self.now):
            when, _, handle = heapq.heappop(timers)
            if not handle.cancelled_:
                self.now = max(self.now, when)
                ready.append(handle)

    def _next(self) -> _Handle:
        """The first ready step of the process of any ready step."""
        process = self.ready[int(self.rng.random() * len(self.ready))].context.get(_PROCESS)
        for index, handle in enumerate(self.ready):
            if handle.context.get(_PROCESS) is process:
                del self.ready[index]
                return handle
        raise AssertionError

    def _close(self) -> None:
        """Unwind what killed processes left, so that the garbage collector need not."""
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(RuntimeError, asyncio.CancelledError):  # a finally that awaits
                    task.get_coro().close()  # type: ignore[union-attr]
        self._tasks.clear()
        self.ready.clear()
        self.timers.clear()


class Clock:
    """``ports.Clock`` of one loop."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return _EPOCH + timedelta(seconds=self._loop.now)

    def seconds(self, at: datetime) -> float:
        """The monotonic time of a wall-clock time."""
        return (at - _EPOCH).total_seconds()

    def monotonic(self) -> float:
        return self._loop.now

    async def sleep(self, seconds: float) -> None:
        future = self._loop.create_future()
        self._loop.call_later(seconds, _wake, future)
        await future


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
