# SPDX-License-Identifier: Apache-2.0
"""An endpoint in a process of its own for the benchmarks.

It answers after a while with a page of 20 fields, and remembers when each request began to arrive: the kernel's own
time of it (Linux), so that a machine which is busy otherwise, and lets this process wait, does not show. It throws a
request's body away in the kernel, so that it takes little of the two cores from what is measured.
``python -m benchmarks.endpoint FROM_S TO_S PAGES`` prints its port, then, for each line it reads, the times so far as a
JSON list, and forgets them.
"""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_FIELDS = 20


def _field(number: int) -> dict[str, Any]:
    """A field as the contract has it: Thai text, a box of four corners, the same box in shares of a page of 1240 by
    1754."""
    left, top = 100 + 37 * number, 120 + 71 * number
    corners = [[left, top], [left + 311, top], [left + 311, top + 43], [left, top + 43]]
    return {
        "value": f"ทะเบียนรถ กข {1000 + number}",
        "confidence": 0.9 + number / 1000,
        "bboxes": [corners],
        "bboxes_norm": [[[round(x / 1240, 4), round(y / 1754, 4)] for x, y in corners]],
    }


_PAGE = {f"field_{number}": _field(number) for number in range(_FIELDS)}


def _answer(pages: int) -> bytes:
    body = json.dumps({"status": "success", "error": [], "data": [_PAGE] * pages}, ensure_ascii=False).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


_HEAD = bytearray(1 << 12)
_NOWHERE = bytearray(1 << 24)
_SO_TIMESTAMPNS = 35  # of Linux; the socket module does not name it


class Endpoint:
    """Of the process that runs the benchmark."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._process, self._input, self._output = process, process.stdin, process.stdout
        self.port = int(self._output.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def starts(self) -> list[float]:
        """When each request since the last time began to arrive, in seconds since 1970."""
        self._input.write("\n")
        self._input.flush()
        times: list[float] = json.loads(self._output.readline())
        return times


@contextmanager
def endpoint(latency_from_s: float, latency_to_s: float, *, pages: int = 1) -> Iterator[Endpoint]:
    """Runs until the block ends, and answers after a random time between the two."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.endpoint", str(latency_from_s), str(latency_to_s), str(pages)],
        cwd=Path(__file__).resolve().parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield Endpoint(process)
        finally:
            process.terminate()


class _Connection:
    """Reads by itself what a transport would, since a transport does not hand on when the kernel received it."""

    def __init__(
        self, connection: socket.socket, starts: list[float], latency_s: tuple[float, float], answer: bytes
    ) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket, self._starts, self._latency_s = connection, starts, latency_s
        self._answered = answer
        self._sending: asyncio.Task[None] | None = None
        self._head = b""
        self._left = 0

    def readable(self) -> None:
        try:
            if self._left:  # with this flag, TCP copies nothing
                size, ancillary = self._socket.recv_into(_NOWHERE, min(self._left, len(_NOWHERE)), socket.MSG_TRUNC), []
            else:
                size, ancillary, _, _ = self._socket.recvmsg_into([_HEAD], 64)
        except OSError:
            size, ancillary = 0, []
        if not size:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            return
        if self._left:
            self._left -= size
        else:
            if not self._head:
                self._starts.append(_received_at_s(ancillary))
            self._head += _HEAD[:size]
            head, end, rest = self._head.partition(b"\r\n\r\n")
            if not end:
                return
            length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
            self._left = int(length) - len(rest)
        if not self._left:
            self._head = b""
            asyncio.get_running_loop().call_later(random.uniform(*self._latency_s), self._answer)  # noqa: S311

    def _answer(self) -> None:
        with suppress(OSError):  # who has gone needs none
            sent = self._socket.send(self._answered)
            if rest := self._answered[sent:]:
                self._sending = asyncio.create_task(self._send(rest))

    async def _send(self, rest: bytes) -> None:
        with suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self._socket, rest)


def _received_at_s(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("@ll", data)
            return float(seconds + nanoseconds / 1e9)
    return time.time()  # a kernel that has no such stamps


async def _serve(latency_s: tuple[float, float], answer: bytes) -> None:
    loop = asyncio.get_running_loop()
    starts: list[float] = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)

    def accept() -> None:
        connection = _Connection(listener.accept()[0], starts, latency_s, answer)
        loop.add_reader(connection._socket, connection.readable)  # noqa: SLF001 - of this file

    loop.add_reader(listener, accept)
    print(listener.getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(starts), flush=True)
        starts.clear()


if __name__ == "__main__":
    asyncio.run(_serve((float(sys.argv[1]), float(sys.argv[2])), _answer(int(sys.argv[3]))))
