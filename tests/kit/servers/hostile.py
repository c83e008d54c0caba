# SPDX-License-Identifier: Apache-2.0
"""An endpoint on loopback that does to a client whatever a script of acts says, and remembers what reached it.

An act is an async function of one :class:`Exchange`: a request that has been read whole. The nth request gets the nth
act, the last act stays. Whatever an act does not close stays open for the next request.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Self

__all__ = ["Act", "Exchange", "HostileServer", "answer", "in_a_thread", "raw"]


@dataclass
class Exchange:
    """One request as it came, and the connection for whatever the act does to it."""

    connection: int
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def client_left(self, within_s: float | None = None) -> bool:
        """Wait until the client has closed the connection; False where it has not within that time."""
        try:
            async with asyncio.timeout(within_s):
                return await self.reader.read(1) == b""
        except TimeoutError:
            return False

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """RST instead of FIN."""
        reset(self.writer)


Act = Callable[[Exchange], Awaitable[None]]


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def answer(status: int = 200, body: bytes = b"{}", **headers: str) -> Act:
    """A complete answer; ``_`` in the name of a header stands for ``-``."""

    async def act(exchange: Exchange) -> None:
        head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
        head += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        await exchange.send("\r\n".join([*head, "", ""]).encode("latin-1") + body)

    return act


def raw(data: bytes, *, then_close: bool = True) -> Act:
    """These bytes."""

    async def act(exchange: Exchange) -> None:
        await exchange.send(data)
        if then_close:
            exchange.close()

    return act


async def endless(exchange: Exchange) -> None:
    """A body without an end, as fast as it is read."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not exchange.writer.is_closing():
        await exchange.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


async def drip(exchange: Exchange) -> None:
    """A byte now and then, of 20,000 that were promised."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 20000\r\n\r\n")
    while not await exchange.client_left(within_s=0.02):
        await exchange.send(b" ")


async def silence(exchange: Exchange) -> None:
    await exchange.client_left()


async def reset_now(exchange: Exchange) -> None:
    exchange.reset()


async def close_now(exchange: Exchange) -> None:
    exchange.close()


def gzip_bomb(megabytes: int) -> bytes:
    """A gzip stream of so many MB of spaces, in a thousandth of the size. Its checksum is never reached."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = deflate.compress(b" " * 2**20) + deflate.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + block * megabytes + b"\x03\x00" + b"\x00" * 8


class HostileServer:
    """An async context manager on ``host``; ``requests`` is what came, ``connections`` how often somebody connected.

    ``on_connect`` replaces HTTP: it gets reader and writer of every connection."""

    def __init__(
        self,
        *acts: Act,
        tls: ssl.SSLContext | None = None,
        on_connect: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None,
    ) -> None:
        self.acts: Sequence[Act] = acts or (answer(),)
        self._tls = tls
        self._on_connect = on_connect
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[Exchange] = []
        self.connections = 0
        self.connected = asyncio.Event()
        self.arrived = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A plain function: what asyncio would say of a coroutine that ends in an error is no concern of the tests.
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.connected.set()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            try:
                if self._on_connect is not None:
                    await self._on_connect(reader, writer)
                    return
                connection = self.connections
                while not writer.is_closing():
                    exchange = await self._read(connection, reader, writer)
                    act = self.acts[min(len(self.requests), len(self.acts) - 1)]
                    self.requests.append(exchange)
                    self.arrived.set()
                    await act(exchange)
            finally:
                writer.close()

    @staticmethod
    async def _read(connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Exchange:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {}
        for line in head[1:-2]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        method, target, _ = head[0].split(" ")
        return Exchange(connection, method, target, headers, body, reader, writer)


@contextlib.contextmanager
def in_a_thread(*servers: HostileServer) -> Iterator[None]:
    """Serve from a loop of its own, for a client that blocks, or has a loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        for server in servers:
            asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        yield
    finally:
        for server in servers:
            asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
