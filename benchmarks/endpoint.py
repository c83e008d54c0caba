# SPDX-License-Identifier: Apache-2.0
"""An endpoint in a process of its own for the benchmarks.

It reads requests as cheaply as asyncio can, answers after a while, and remembers when each request began to arrive
(``time.monotonic``, the same clock in every process of a machine). ``python -m benchmarks.endpoint FROM_S TO_S`` prints
its port, then, for each line it reads, the times so far as a JSON list, and forgets them.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FIELD = b'{"value": "x", "confidence": 0.98, "bboxes": null, "bboxes_norm": null}'
_BODY = (
    b'{"status": "success", "error": [], "data": [{'
    + b", ".join(b'"f%d": %s' % (n, _FIELD) for n in range(26))
    + b"}]}"
)
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


class Endpoint:
    """Of the process that runs the benchmark."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._process, self._input, self._output = process, process.stdin, process.stdout
        self.port = int(self._output.readline())
        self.url = f"http://127.0.0.1:{self.port}"

    def starts(self) -> list[float]:
        """When each request since the last time began to arrive."""
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


class _Connection(asyncio.BufferedProtocol):
    def __init__(self, starts: list[float], latency_s: tuple[float, float]) -> None:
        self._starts, self._latency_s = starts, latency_s
        self._buffer = bytearray(1 << 18)
        self._head = b""
        self._left = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, _sizehint: int) -> memoryview:
        return memoryview(self._buffer)

    def buffer_updated(self, size: int) -> None:
        if self._left:
            self._left -= size
        else:
            if not self._head:
                self._starts.append(time.monotonic())
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
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def _serve(latency_s: tuple[float, float]) -> None:
    loop = asyncio.get_running_loop()
    starts: list[float] = []
    server = await loop.create_server(lambda: _Connection(starts, latency_s), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(starts), flush=True)
        starts.clear()


if __name__ == "__main__":
    asyncio.run(_serve((float(sys.argv[1]), float(sys.argv[2]))))
