# SPDX-License-Identifier: Apache-2.0
"""The simulator in a thread, for tests and notebooks: its own event loop, called from anywhere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from airflow_provider_aigen.simulator.options import Options
from airflow_provider_aigen.simulator.server import Simulator

__all__ = ["RunningSimulator", "running_simulator"]

T = TypeVar("T")


class RunningSimulator:
    """A simulator that runs in another thread; safe to call from any. `running_simulator` makes it."""

    def __init__(self, simulator: Simulator, loop: asyncio.AbstractEventLoop) -> None:
        self._simulator = simulator
        self._loop = loop
        self.url = simulator.url

    def stats(self) -> dict[str, Any]:
        """What `GET /stats` says."""
        return self._there(self._simulator.stats)

    def journal(self) -> list[dict[str, Any]]:
        """What `GET /journal` says."""
        return self._there(self._simulator.journal)

    def control(self, **changes: Any) -> dict[str, Any]:
        """Changes options from the next call on. ValueError for one that isn't right."""
        return self._there(lambda: self._simulator.control(**changes))

    def reset(self) -> None:
        """Forgets all calls, the pace and the credit taken; options stay."""
        self._there(self._simulator.reset)

    def stop(self) -> None:
        """Nothing listens any more: connections are refused, until `start`."""
        asyncio.run_coroutine_threadsafe(self._simulator.stop(), self._loop).result()

    def start(self) -> None:
        """Listens again, at the same URL."""
        asyncio.run_coroutine_threadsafe(self._simulator.start(), self._loop).result()

    def _there(self, ask: Callable[[], T]) -> T:
        async def there() -> T:
            return ask()

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result()


@contextmanager
def running_simulator(**options: Any) -> Iterator[RunningSimulator]:
    """A simulator on a free loopback port (or ``port``), stopped on leaving. ``options`` as in `Options`."""
    simulator = Simulator(Options(**options))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="aigen-simulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(simulator.start(), loop).result()
        running = RunningSimulator(simulator, loop)
        try:
            yield running
        finally:
            running.stop()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
