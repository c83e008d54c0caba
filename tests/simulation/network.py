# SPDX-License-Identifier: Apache-2.0
"""The way from a process to a service and back. Each request is an I/O point: there a process can be killed before it
leaves, or after it was applied and before the answer came; replies get lost, requests fail, both take (virtual) time.

A request that left goes on without its sender: whether it still arrives after the sender was killed is drawn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from tests.simulation.loop import Loop, Process

__all__ = ["AFTER", "BEFORE", "READS", "Faults", "Network"]

T = TypeVar("T")

BEFORE = "before"
AFTER = "applied, not acknowledged"
READS = ("get", "list")

# Sender, the request's number, verb and object, what it does, how long the reply takes, whether the sender dies of it.
_Request = tuple[Process, tuple[int, str, str], Callable[[], Any], float, bool, "asyncio.Future[Any]"]


@dataclass(slots=True)
class Faults:
    """Shares of all requests of a kind, from 0 to 1; ``until`` is the virtual time at which all of them end.

    ``crash_at`` maps the number of an I/O point, counted from 1 over all processes, to where the process dies."""

    until: float = 0.0
    store_fails: float = 0.0
    store_loses_reply: float = 0.0
    store_slow: float = 0.0
    call_reset: float = 0.0
    call_connect: float = 0.0
    call_throttled: float = 0.0
    call_failed: float = 0.0
    call_slow: float = 0.0
    crash_at: dict[int, str] = field(default_factory=dict)


class Network:
    """Between all processes and all services. ``trace`` gets a line for everything that happens, if there is one."""

    def __init__(self, loop: Loop, rng: Random, faults: Faults, trace: Callable[[str], None] | None) -> None:
        self.loop = loop
        self.rng = rng
        self.faults = faults
        self.trace = trace
        self.points = 0
        self.calm = False  # nothing goes wrong any more: requests of the store are answered at once
        self.changing: list[int] = []  # the points that change something outside

    def hit(self, share: float) -> bool:
        """Whether a fault of this share strikes now."""
        return bool(share) and self.loop.now < self.faults.until and self.rng.random() < share

    def latency(self, slow: float, slow_s: float = 6.0) -> float:
        if slow and self.hit(slow):
            return self.rng.random() * slow_s
        return 0.005 + self.rng.random() * 0.03

    async def sleep(self, seconds: float) -> None:
        """In the client's own process."""
        woken = self.loop.create_future()
        self.loop.call_later(seconds, _reply, woken, None, None)
        await woken

    def say(self, process: Process, what: str) -> None:
        if self.trace is not None:
            self.trace(f"{self.loop.now:10.3f}  {process.name:<10} {what}")

    def request(
        self, process: Process, verb: str, what: str, apply: Callable[[], T], there: float, back: float
    ) -> Awaitable[T]:
        """What ``apply`` returns or raises at the service, ``there`` seconds after it left; 0 ``back`` is at once."""
        self.points = point = self.points + 1
        if verb not in READS:
            self.changing.append(point)
        crash = self.faults.crash_at.get(point) if self.faults.crash_at else None
        reply = self.loop.create_future()
        name = (point, verb, what)
        if crash is BEFORE:
            self._tell(process, name, "killed before it left")
            process.kill()
        else:
            self.loop.later(there, self._arrive, process, name, apply, back, crash is AFTER, reply)
        return reply

    def answer(self, process: Process, verb: str, what: str, apply: Callable[[], T]) -> T:
        """The same where all is calm: at once."""
        self.points += 1
        if self.trace is None:
            return apply()
        name = (self.points, verb, what)
        try:
            value = apply()
        except Exception as error:
            self._tell(process, name, type(error).__name__)
            raise
        self._tell(process, name)
        return value

    def _arrive(self, *request: *_Request) -> None:
        """A request at its service, whatever became of its sender."""
        process, name, apply, back, dies, reply = request
        if process.dead and self.rng.random() < 0.5:
            self._tell(process, name, "never arrives")
            return
        if process.paused and self.rng.random() < 0.5:
            process.parked.append((self._arrive, request, None))
            return
        value: Any = None
        error: Exception | None = None
        try:
            value = apply()
        except Exception as raised:  # noqa: BLE001 - the reply carries it
            error = raised
        if self.trace is not None:
            self._tell(process, name, type(error).__name__ if error else None)
        if dies:
            self._tell(process, name, "killed before the reply")
            process.kill()
        elif back:
            self.loop.later(back, _reply, reply, value, error)
        else:
            _reply(reply, value, error)

    def _tell(self, process: Process, name: tuple[int, str, str], more: str | None = None) -> None:
        if self.trace is not None:
            point, verb, what = name
            self.say(process, f"#{point} {verb} {what}" + (f": {more}" if more else ""))


def _reply(reply: asyncio.Future[Any], value: Any, error: Exception | None) -> None:
    if reply.done():
        return  # its sender no longer waits for it
    if error is None:
        reply.set_result(value)
    else:
        reply.set_exception(error)
