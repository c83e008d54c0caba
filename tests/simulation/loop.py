# SPDX-License-Identifier: Apache-2.0
"""An event loop in virtual time that runs several simulated processes, and can kill or pause one between any two steps.

Whatever runs in a process carries it in its context; the loop looks there before each step. A killed process runs no
further step, not even a ``finally``, as after SIGKILL. A paused one keeps its steps for later, as after SIGSTOP.
Steps of one process run in the order in which they became ready, as asyncio promises; whose step comes next is drawn.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from datetime import datetime
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from typing import Any

__all__ = ["Loop", "Process", "Stuck"]

_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)
_MOST_STEPS = 400_000


# Function, arguments, context; None as context is outside of any process. It cannot be cancelled: who wanted to would
# find None where asyncio has a handle.
Step = tuple[Callable[..., Any], tuple[Any, ...], Context | None]


class Stuck(AssertionError):
    """Nothing is left to run, or it never ends, though somebody waits."""


class Process:
    """One simulated operating-system process. ``held``: its steps are not simply run, as it is dead, or paused, or is
    to die before one of them."""

    def __init__(self, name: str, loop: Loop, run: object = None) -> None:
        self.name = name
        self.loop = loop
        self.run = run
        self.started = loop.now
        self.ended_at: float | None = None
        self.held = False
        self.dead = False
        self.paused = False
        self._steps_left: int | None = None
        self.parked: list[Step] = []
        self.on_pause: Callable[[], None] = lambda: None
        self.frozen_at = 0  # after so many commits of its own
        self.on_freeze: Callable[[], None] = lambda: None
        self.cut_until = 0.0  # until then no request of its reaches the store
        self.store_failed = False
        self.acts: list[float] = []  # when it called, or wrote anything but its sign of life
        self.lost: list[str] = []  # why calls may be made again: killed, paused, cut off, a write that failed, stopped
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

    def die_at_step(self, number: int) -> None:
        """Instead of running that step of its own, counted from 1; to be said before the first."""
        self.held, self._steps_left = True, number

    def kill(self) -> None:
        if self.dead or self.ended.done():
            return
        self.held = self.dead = True
        self.parked.clear()
        self.lost.append("killed")
        self.ended_at = self.loop.now
        self.ended.set_result(None)

    def holds(self, step: Step) -> bool:
        """Whether a step that is ready is not to be run, or not now."""
        if self.dead:
            return True
        if self.paused:
            self.parked.append(step)
            return True
        if self._steps_left is not None:
            self._steps_left -= 1
            if not self._steps_left:
                self.kill()
                return True
        return False

    def runs_at(self, time: float) -> bool:
        return self.started <= time and (self.ended_at is None or time < self.ended_at)

    def pause(self) -> None:
        if not self.dead and not self.ended.done():
            self.held = self.paused = True
            self.lost.append("paused")
            self.on_pause()

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self.held = self.dead or self._steps_left is not None
            self.loop.ready.extend(self.parked)
            self.parked.clear()


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """Hashes by number, so that a set of tasks has the same order whenever a seed is replayed."""

    __slots__ = ("number",)

    def __hash__(self) -> int:
        return self.number


class Loop(asyncio.AbstractEventLoop):
    def __init__(self, rng: Random, *, shuffle: bool) -> None:
        self.now = 0.0
        self.wall: datetime | None = None  # the same as a date, once it was asked for
        self.ready: deque[Step] = deque()
        self.timers: list[tuple[float, int, Step]] = []
        self.rng = rng
        self.shuffle = shuffle
        self.outside = copy_context()
        self.create_future = partial(asyncio.Future, loop=self)
        self.steps = 0
        self._due = False  # a timer runs out right now
        self._timer_numbers = count()
        self._tasks: list[_Task] = []

    # --- what asyncio asks of a loop --------------------------------------------------------------------------------

    def time(self) -> float:
        return self.now

    get_debug = staticmethod(bool)  # False, which each future asks for; said in C

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        task = _Task.__new__(_Task)
        task.number = len(self._tasks)  # before asyncio puts it into a set
        task.__init__(coro, loop=self, name=name or "task", context=context)  # type: ignore[misc]
        asyncio._unregister_task(task)  # nobody asks for all tasks, and equal hashes would pile up there
        self._tasks.append(task)
        return task

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        self.ready.append((callback, args, copy_context() if context is None else context))

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        self.later(delay, callback, *args, context=copy_context() if context is None else context)

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

    def later(self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> None:
        """Without ``context`` outside of any process: what happens in the network and in the services goes on without
        the caller."""
        when = self.now + delay
        heappush(self.timers, (when, next(self._timer_numbers), (callback, args, context)))
        if when <= self.now:
            self._due = True

    def move(self, seconds: float) -> None:
        """Time passes while a step runs."""
        self.now, self.wall = self.now + seconds, None
        if self.timers and self.timers[0][0] <= self.now:
            self._due = True

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
        ready, done = self.ready, task.done
        take = self._take if self.shuffle else ready.popleft
        for self.steps in range(1, _MOST_STEPS + 1):
            if self._due or not ready:
                self._come_due()
            callback, args, context = step = take()
            if context is None:
                callback(*args)
                continue
            process = context.get(_PROCESS)
            if process is not None and process.held and process.holds(step):
                continue
            context.run(callback, *args)
            if done():
                return
        raise Stuck(f"no end after {_MOST_STEPS} steps")

    def _come_due(self) -> None:
        """Make ready what has to run now; where nothing has, time goes on to what is next."""
        timers = self.timers
        if not timers:
            raise Stuck("nothing is left to run, but the schedule has not ended")
        when, _, step = heappop(timers)
        if when > self.now:
            self.now, self.wall = when, None
        self.ready.append(step)
        while timers and timers[0][0] <= self.now:
            self.ready.append(heappop(timers)[2])
        self._due = False

    def _take(self) -> Step:
        """The first ready step of the process of any ready step."""
        ready = self.ready
        if len(ready) == 1:
            return ready.popleft()
        process = _process_of(ready[int(self.rng.random() * len(ready))])
        for index, step in enumerate(ready):
            if _process_of(step) is process:
                del ready[index]
                return step
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


def _process_of(step: Step) -> Process | None:
    return None if step[2] is None else step[2].get(_PROCESS)
