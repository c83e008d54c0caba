# SPDX-License-Identifier: Apache-2.0
"""An endpoint in a process of its own for the benchmarks.

It reads requests as cheaply as asyncio can, answers after a while, and remembers when each request began to arrive: the
kernel's own time of it (Linux), so that a machine which is busy otherwise, and lets this process wait, does not show.
``python -m benchmarks.endpoint FROM_S TO_S`` prints its port, then, for each line it reads, the times so far as a JSON
list, and forgets them.
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

_FIELD = b'{"value": "x", "confidence": 0.98, "bboxes": null, "bboxes_norm": null}'
_BODY = (
    b'{"status": "success", "error": [], "data": [{'
    + b", ".join(b'"f%d": %s' % (n, _FIELD) for n in range(26))
    + b"}]}"
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)
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
def endpoint(latency_from_s: float, latency_to_s: float) -> Iterator[Endpoint]:
    """Runs until the block ends, and answers after a random time between the two."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.endpoint", str(latency_from_s), str(latency_to_s)],
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

    def __init__(self, connection: socket.socket, starts: list[float], latency_s: tuple[float, float]) -> None:
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        self._socket, self._starts, self._latency_s = connection, starts, latency_s
        self._buffer = bytearray(1 << 18)
        self._head = b""
        self._left = 0

    def readable(self) -> None:
        try:
            size, ancillary, _, _ = self._socket.recvmsg_into([self._buffer], 64)
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
            self._head += self._buffer[:size]
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
            self._socket.send(_ANSWER)


def _received_at_s(ancillary: list[tuple[int, int, bytes]]) -> float:
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, _SO_TIMESTAMPNS):
            seconds, nanoseconds = struct.unpack("@ll", data)
            return float(seconds + nanoseconds / 1e9)
    return time.time()  # a kernel that has no such stamps


async def _serve(latency_s: tuple[float, float]) -> None:
    loop = asyncio.get_running_loop()
    starts: list[float] = []
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)

    def accept() -> None:
        connection = _Connection(listener.accept()[0], starts, latency_s)
        loop.add_reader(connection._socket, connection.readable)  # noqa: SLF001 - of this file

    loop.add_reader(listener, accept)
    print(listener.getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(starts), flush=True)
        starts.clear()


if __name__ == "__main__":
    asyncio.run(_serve((float(sys.argv[1]), float(sys.argv[2]))))
