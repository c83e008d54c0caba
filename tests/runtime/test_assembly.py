# SPDX-License-Identifier: Apache-2.0
"""What the settings of a task become: limiter and ports."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.limits.redis_client import RedisSettings
from airflow_provider_aigen.core.config import EndpointConfig
from airflow_provider_aigen.core.errors import ConfigurationError, TransientError
from airflow_provider_aigen.runtime.assembly import PortSettings, open_limiter, open_ports
from tests.kit.clock import FakeClock


def _settings(**changes: Any) -> PortSettings:
    given: dict[str, Any] = {
        "client": None,
        "endpoint": EndpointConfig("https://ocr.example.org", "a-key-of-nobody"),
        "requests_per_second": 5.0,
        "max_in_flight": 1,
        "destination": "s3://lake/books/",
        "state": "s3://lake/books/_aigen/",
        "dead_letter": "s3://lake/dead/",
        "expected_bucket_owner": None,
        "sse_kms_key_id": None,
    }
    return PortSettings(**given | changes)


# --- the limiter --------------------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(limit=st.floats(0.1, 60), tasks=st.integers(1, 12))
def test_the_shares_of_tasks_add_up_to_the_limit(limit, tasks):
    clock = FakeClock()
    starts = []

    async def task(until_s: float) -> None:
        async with open_limiter(_settings(requests_per_second=limit, limit_shared_by=tasks), clock) as limiter:
            while clock.monotonic() < until_s:
                await limiter.acquire()
                starts.append(clock.monotonic())

    async def main() -> None:
        until_s = clock.monotonic() + 10 * tasks / limit
        await clock.run(asyncio.gather(*(task(until_s) for _ in range(tasks))))

    asyncio.run(main())
    calls = len(starts) - tasks  # each one's first is at the same moment
    assert 0.98 <= calls / (max(starts) - min(starts)) / limit <= 1


def test_with_redis_the_limit_is_shared_by_all_that_use_the_key():
    """Whatever connection and document type name it."""
    received = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (line := await reader.read(1 << 16)) and b"EVALSHA" not in line:
            writer.write(b"+OK\r\n" * line.count(b"*"))
        received.append(line)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        redis = RedisSettings("127.0.0.1", server.sockets[0].getsockname()[1])
        async with server, open_limiter(_settings(redis=redis), FakeClock()):
            raise AssertionError("nothing answers there")

    with pytest.raises(TransientError, match="redis_conn_id"):
        asyncio.run(main())
    assert f"{{{EndpointConfig('https://ocr.example.org', 'a-key-of-nobody').limit_name}}}".encode() in received[0]
    assert b"a-key-of-nobody" not in received[0]


def test_without_the_extra_redis_the_message_says_what_to_install(monkeypatch):
    # Imported already or not: what is None can't be imported.
    for name in ["redis", *(name for name in sys.modules if name.startswith("redis."))]:
        monkeypatch.setitem(sys.modules, name, None)

    async def main() -> None:
        async with open_limiter(_settings(redis=RedisSettings("cache")), FakeClock()):
            raise AssertionError("it cannot be opened")

    with pytest.raises(ConfigurationError, match="redis_conn_id: needs the extra redis"):
        asyncio.run(main())


# --- the ports ----------------------------------------------------------------------------------------------------


class Client:
    """Of boto3, as far as a probe goes. ``written`` has the places of its objects."""

    meta = SimpleNamespace(
        config=SimpleNamespace(max_pool_connections=10), events=SimpleNamespace(register=lambda *_, **__: None)
    )

    def __init__(self) -> None:
        self.written: list[str] = []

    def put_object(self, **arguments: Any) -> dict[str, Any]:
        self.written.append(f"{arguments['Bucket']}/{arguments['Key']}")
        return {}


@pytest.mark.parametrize(
    ("state", "probed"),
    [("s3://lake/books/_aigen/", False), ("s3://lake/state/", True), ("s3://books/books/_aigen/", True)],
)
def test_the_destination_is_probed_unless_the_state_inside_it_is(state, probed):
    client = Client()

    async def main() -> None:
        async with open_ports(_settings(client=client, state=state)) as ports:
            await ports.tables.probe()

    asyncio.run(main())
    assert client.written == (["lake/books/_aigen_probe"] if probed else [])


def test_a_task_decodes_what_the_standard_library_does_not_know():
    async def main() -> set[str]:
        async with open_ports(_settings(client=Client())) as ports:
            return set(ports.decoders)

    assert asyncio.run(main()) == {"br", "zstd"}
