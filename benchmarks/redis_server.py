# SPDX-License-Identifier: Apache-2.0
"""A ``redis-server`` of one's own on loopback (Debian's package ``redis-server``): a free port, nothing on disk."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["RedisServer", "free_port", "redis_server"]

_START_TRIES = 3
_START_S = 20.0


class RedisServer:
    """Can be stopped and started again, empty, on the same port."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Raises ``RuntimeError`` if it doesn't come up."""
        for _ in range(1 if self.port else _START_TRIES):
            port = self.port or free_port()
            self._process = subprocess.Popen(
                [_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *self._options],
                stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )
            if self._answers(port):
                self.port = port
                return
            self.stop()
        raise RuntimeError("redis-server does not come up")

    def stop(self) -> None:
        """Kill it, as a machine that goes away."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, **arguments: Any) -> Any:
        """A synchronous client."""
        import redis

        return redis.Redis(port=self.port, decode_responses=True, **arguments)

    def _answers(self, port: int) -> bool:
        end_s = time.monotonic() + _START_S
        while time.monotonic() < end_s and self._process and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                    connection.sendall(b"PING\r\n")
                    return connection.recv(1) in b"+-"  # -NOAUTH is an answer as well
            except OSError:
                time.sleep(0.01)
        return False


@contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """Runs until the block ends. ``options`` are those of the command line."""
    server = RedisServer(*options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _binary() -> str:
    found = shutil.which("redis-server")
    if found is None:
        raise RuntimeError("redis-server is not installed: apt-get install redis-server")
    return found


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
