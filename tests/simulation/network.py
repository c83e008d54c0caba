# SPDX-License-Identifier: Apache-2.0
"""The way from a process to a service and back. Each request is an I/O point: there a process can be killed before it
leaves, or after it was applied and before the answer came; replies get lost, requests fail, both take (virtual) time.

A request that left goes on without its sender: whether it still arrives after the sender was killed is drawn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, NoReturn, TypeVar

from tests.simulation.loop import Loop, Process, _Handle

__all__ = ["AFTER", "BEFORE", "Faults", "Network"]

T = TypeVar("T")

BEFORE = "before"
AFTER = "applied, not acknowledged"


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
    """Between all processes and all services. ``trace`` gets a line for everything that happens, where somebody reads it."""

    def __init__(self, loop: Loop, rng: Random, faults: Faults, trace: Callable[[str], None] | None) -> None:
        self.loop = loop
        self.rng = rng
        self.faults = faults
        self.trace = trace
        self.points = 0

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

    async def request(self, process: Process, name: str, apply: Callable[[], T], there: float, back: float) -> T:
        """What ``apply`` returns or raises at the service, ``there`` seconds after it left; 0 seconds ``back`` is at once."""
        loop, network = self.loop, self
        self.points += 1
        point = self.points
        crash = self.faults.crash_at.get(point) if self.faults.crash_at else None
        if crash is BEFORE:
            self.say(process, f"#{point} {name}: killed before it left")
            await die(process)
        reply: Any = loop.create_future()

        def arrive() -> None:
            if process.dead and network.rng.random() < 0.5:
                network.say(process, f"#{point} {name}: never arrives")
                return
            if process.paused and network.rng.random() < 0.5:
                process.parked.append(_Handle(arrive, (), loop.outside, 0.0))
                return
            value: Any = None
            error: Exception | None = None
            try:
                value = apply()
            except Exception as raised:  # noqa: BLE001 - the reply carries it
                error = raised
            if network.trace is not None:
                network.say(process, f"#{point} {name}" + (f": {type(error).__name__}" if error else ""))
            if crash is AFTER:
                network.say(process, f"#{point} {name}: killed before the reply")
                process.kill()
            elif back:
                loop.later(back, answer, value, error)
            else:
                answer(value, error)

        def answer(value: Any, error: Exception | None) -> None:
            if not reply.done():
                if error is not None:
                    reply.set_exception(error)
                else:
                    reply.set_result(value)

        loop.later(there, arrive)
        result: T = await reply
        return result


async def die(process: Process) -> NoReturn:
    process.kill()
    await process.loop.create_future()
    raise AssertionError
