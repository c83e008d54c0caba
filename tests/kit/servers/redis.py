# SPDX-License-Identifier: Apache-2.0
"""Redis: Debian's package ``redis-server``."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.kit.servers.process import START_TRIES, ServerFailed, binary, free_port

__all__ = ["RedisServer", "redis_server"]

_START_S = 20.0


class RedisServer:
    """A ``redis-server`` on a port of its own, with nothing on disk. It can be stopped and started again, empty, on the
    same port. ``options`` are those of the command line."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        """Raises ``ServerFailed`` if it doesn't come up."""
        for _ in range(1 if self.port else START_TRIES):
            port = self.port or free_port()
            command = [binary("redis-server", "apt-get install redis-server"), "--port", str(port), "--save", ""]
            self._process = subprocess.Popen(
                [*command, "--bind", "127.0.0.1", *self._options],
                stdout=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
            )
            if self._answers(port):
                self.port = port
                return
            self.stop()
        raise ServerFailed("redis-server does not come up")

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
    """Runs until the block ends."""
    server = RedisServer(*options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
