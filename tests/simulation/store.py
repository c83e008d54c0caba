# SPDX-License-Identifier: Apache-2.0
"""One process's way to the store, on which everything may go wrong that does on a network.

A request fails before it is applied; a write is applied and its acknowledgement lost, which its sender sees as a
``StorageUnavailableError``, or, where the client repeats it, as the 412 that its own first write causes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

from airflow_provider_aigen.core.errors import ObjectDenied, StorageUnavailableError
from tests.kit.store import Buckets, MemoryStore
from tests.simulation.loop import Process
from tests.simulation.network import READS, Network

__all__ = ["ProcessStore"]

T = TypeVar("T")

_PATIENCE_S = 12.0


class ProcessStore(MemoryStore):
    """A dead process's requests no longer return. ``denied`` says of a verb and a key whether S3 denies it."""

    def __init__(
        self, buckets: Buckets, network: Network, process: Process, denied: Callable[[str, str], bool] | None = None
    ) -> None:
        super().__init__(buckets, writer=process, page=5)
        self._network = network
        self._process = process
        self._denied = denied

    async def _request(self, verb: str, key: str, apply: Callable[[], T], repeated: type[Exception] | None = None) -> T:
        network, process = self._network, self._process
        if self._denied is not None and self._denied(verb, key):
            return await self._send(verb, f"{key} (denied)", lambda: _deny(verb))
        if process.cut_until > network.loop.now:
            # The client repeats the request for a while, and it goes through if the way is open by then.
            await network.sleep(min(_PATIENCE_S, process.cut_until - network.loop.now))
            if process.cut_until > network.loop.now:
                return await self._fail(verb, key)
        loses = network.faults.store_loses_reply
        if loses and verb not in READS and network.hit(loses):
            process.store_failed = True
            return await self._send(verb, f"{key} (reply lost)", self._losing_the_reply(apply, repeated))
        if network.calm:
            return network.answer(process, verb, key, apply)
        fails = network.faults.store_fails
        if fails and network.hit(fails):
            return await self._fail(verb, key)
        return await self._send(verb, key, apply)

    def _fail(self, verb: str, key: str) -> Awaitable[NoReturn]:
        self._process.store_failed = True
        if verb == "put" and "/answers/" in key:
            self._process.lost.append("an answer could not be kept")
        return self._send(verb, f"{key} (fails)", _fail)

    def _losing_the_reply(self, apply: Callable[[], T], repeated: type[Exception] | None) -> Callable[[], T]:
        rng = self._network.rng
        own_retry = repeated is not None and rng.random() < 0.5

        def lose() -> T:
            value = apply()
            if own_retry:
                assert repeated is not None
                raise repeated
            if repeated is not None or rng.random() < 0.5:
                raise StorageUnavailableError("the acknowledgement was lost")
            return value

        return lose

    def _send(self, verb: str, what: str, apply: Callable[[], T]) -> Awaitable[T]:
        network = self._network
        slow = network.faults.store_slow
        back = network.latency(slow) if network.rng.random() < 0.3 else 0.0
        return network.request(self._process, verb, what, apply, network.latency(slow), back)


def _deny(verb: str) -> NoReturn:
    raise ObjectDenied("s3://bucket", f"{verb} was denied")


def _fail() -> NoReturn:
    raise StorageUnavailableError("the store failed, nothing was applied")
