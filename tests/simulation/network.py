# SPDX-License-Identifier: Apache-2.0
"""The way from a process to a service and back. Each request is an I/O point: there a process can be killed before it
leaves, or after it was applied and before the answer came; replies get lost, requests fail, both take (virtual) time.

A request that left goes on without its sender: whether it still arrives after the sender was killed is drawn.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from tests.simulation.loop import Loop, Process, _Handle

__all__ = ["AFTER", "BEFORE", "Faults", "Network"]

T = TypeVar("T")

BEFORE = "before"
AFTER = "applied, not acknowledged"
_READS = ("GET", "LIST")


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
        if self.hit(slow):
            return self.rng.random() * slow_s
        return 0.005 + self.rng.random() * 0.03

    def say(self, process: Process, what: str) -> None:
        if self.trace is not None:
            self.trace(f"{self.loop.now:10.3f}  {process.name:<10} {what}")

    def request(
        self, process: Process, verb: str, what: str, apply: Callable[[], T], there: float, back: float
    ) -> Awaitable[T]:
        """What ``apply`` returns or raises at the service, ``there`` seconds after it left; 0 ``back`` is at once."""
        self.points += 1
        point = self.points
        if verb not in _READS:
            self.changing.append(point)
        crash = self.faults.crash_at.get(point) if self.faults.crash_at else None
        request = _Request(self, process, point, verb, what, apply, back, dies=crash is AFTER)
        if crash is BEFORE:
            self.say(process, f"#{point} {verb} {what}: killed before it left")
            process.kill()
        else:
            self.loop.later(there, request.arrive)
        return request.reply

    def request_calmly(self, process: Process, verb: str, what: str, apply: Callable[[], T]) -> Awaitable[T]:
        """The same, at once."""
        self.points += 1
        request = _Request(self, process, self.points, verb, what, apply, 0.0, dies=False)
        request.arrive()
        return request.reply


class _Request:
    """On its way, whatever becomes of its sender."""

    __slots__ = ("apply", "back", "dies", "network", "point", "process", "reply", "verb", "what")

    def __init__(
        self,
        network: Network,
        process: Process,
        point: int,
        verb: str,
        what: str,
        apply: Callable[[], Any],
        back: float,
        *,
        dies: bool,
    ) -> None:
        self.network, self.process, self.point, self.verb, self.what = network, process, point, verb, what
        self.apply, self.back, self.dies = apply, back, dies
        self.reply: Any = network.loop.create_future()

    @property
    def name(self) -> str:
        return f"#{self.point} {self.verb} {self.what}"

    def arrive(self) -> None:
        network, process = self.network, self.process
        if process.dead and network.rng.random() < 0.5:
            network.say(process, f"{self.name}: never arrives")
            return
        if process.paused and network.rng.random() < 0.5:
            process.parked.append(_Handle(self.arrive, (), network.loop.outside, 0.0))
            return
        value: Any = None
        error: Exception | None = None
        try:
            value = self.apply()
        except Exception as raised:  # noqa: BLE001 - the reply carries it
            error = raised
        if network.trace is not None:
            network.say(process, self.name + (f": {type(error).__name__}" if error else ""))
        if self.dies:
            network.say(process, f"{self.name}: killed before the reply")
            process.kill()
        elif self.back:
            network.loop.later(self.back, self.answer, value, error)
        else:
            self.answer(value, error)

    def answer(self, value: Any, error: Exception | None) -> None:
        if self.reply.done():
            return
        if error is not None:
            self.reply.set_exception(error)
        else:
            self.reply.set_result(value)
