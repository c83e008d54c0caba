# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that breaks HTTP in the ways in which networks do. A connection carries one request at a time.

=========  ==========================================================================================
``drop``   the request never arrives; the connection ends without an answer
``lose``   the request arrives and is answered; the connection ends without a byte of the answer
``cut``    half of the answer's first piece, then an orderly end
``reset``  the same, then a TCP reset
``drip``   the answer comes byte by byte, one every ``byte_s``, until the client has had enough or ``drip_s`` is over
=========  ==========================================================================================
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["FAULTS", "Faults", "Network", "Proxy", "network"]

FAULTS = ("drop", "lose", "cut", "reset", "drip")
_METHODS = tuple(f"{method} ".encode() for method in ("GET", "PUT", "POST", "HEAD", "DELETE"))
_PIECE = 64 * 1024


@dataclass
class Faults:
    """What a proxy does: a ``share`` of the requests gets a fault of ``kinds``, ``most`` in all."""

    share: float = 0.0
    kinds: tuple[str, ...] = FAULTS
    most: int = 0
    byte_s: float = 1.0
    drip_s: float = 8.0
    random: random.Random = field(default_factory=lambda: random.Random(0))

    def draw(self) -> str | None:
        if self.most <= 0 or self.random.random() >= self.share:
            return None
        self.most -= 1
        return self.random.choice(self.kinds)


class Proxy:
    """Listens on ``port``. ``requests`` counts those seen, ``done`` the faults done, by kind; ``seen`` is called in the
    network's thread for each request, before it is passed on, with its number from 1."""

    def __init__(self, target: str, faults: Faults | None = None, seen: Callable[[int], None] | None = None) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 80)
        self.faults = faults or Faults()
        self._seen = seen
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self.port = 0
        self.requests = 0
        self.done: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError):
                upstream = await asyncio.open_connection(*self._target)
                try:
                    await _Connection(self, (reader, writer), upstream).run()
                finally:
                    upstream[1].close()
        except asyncio.CancelledError:
            pass  # the proxy stops; asyncio would log it
        finally:
            writer.close()
            self._connections.discard(task)

    def fault(self) -> str | None:
        """A request begins: count it, and say what is to happen to it."""
        self.requests += 1
        if self._seen is not None:
            self._seen(self.requests)
        kind = self.faults.draw()
        if kind is not None:
            self.done[kind] += 1
        return kind


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    def __init__(self, proxy: Proxy, client: Stream, upstream: Stream) -> None:
        self._proxy = proxy
        self._client = client
        self._upstream = upstream
        self._fault: str | None = None

    async def run(self) -> None:
        """Until either side ends, or a fault does."""
        ways = [asyncio.create_task(self._requests()), asyncio.create_task(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _requests(self) -> None:
        while piece := await self._client[0].read(_PIECE):
            if piece.startswith(_METHODS):
                self._fault = self._proxy.fault()
            if self._fault == "drop":
                return
            self._upstream[1].write(piece)
            await self._upstream[1].drain()

    async def _answers(self) -> None:
        while piece := await self._upstream[0].read(_PIECE):
            if self._fault is not None and not piece.startswith(b"HTTP/1.1 100"):
                await self._broken(self._fault, piece)
                return
            self._client[1].write(piece)
            await self._client[1].drain()

    async def _broken(self, fault: str, piece: bytes) -> None:
        writer = self._client[1]
        if fault in ("cut", "reset"):
            writer.write(piece[: len(piece) // 2])
            await writer.drain()
        if fault == "reset":
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        if fault == "drip":
            pace = self._proxy.faults
            with suppress(TimeoutError):
                async with asyncio.timeout(pace.drip_s):
                    for byte in piece:
                        writer.write(bytes((byte,)))
                        await writer.drain()
                        await asyncio.sleep(pace.byte_s)  # the fault itself, and cancelled when the client hangs up


class Network:
    """Proxies in a thread of their own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    @contextmanager
    def proxy(
        self, target: str, faults: Faults | None = None, seen: Callable[[int], None] | None = None
    ) -> Iterator[Proxy]:
        proxy = Proxy(target, faults, seen)
        asyncio.run_coroutine_threadsafe(proxy.start(), self._loop).result()
        try:
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(proxy.stop(), self._loop).result()


@contextmanager
def network() -> Iterator[Network]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="proxies", daemon=True)
    thread.start()
    try:
        yield Network(loop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
