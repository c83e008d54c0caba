# SPDX-License-Identifier: Apache-2.0
"""The one event loop of a task, and how it is stopped from outside."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_aigen.adapters.redis_connection import RedisSettings
from airflow_provider_aigen.core.config import EndpointConfig
from airflow_provider_aigen.core.errors import ConfigurationError, StoppedError, TransientError
from airflow_provider_aigen.operators.assembly import LoopRunner, PortSettings, open_limiter, open_ports, s3_client
from airflow_provider_aigen.pipeline import Stop
from tests.fakes import FakeClock


async def _until_stopped(stop: Stop) -> str:
    await stop.wait()
    raise stop.error or AssertionError


async def _at_once(stop: Stop) -> str:
    return "done"


def test_it_runs_what_it_is_given():
    assert LoopRunner().run(_at_once) == "done"


def test_stop_before_the_loop_is_kept():
    runner = LoopRunner()
    runner.stop()
    with pytest.raises(StoppedError, match="told to stop"):
        runner.run(_at_once)


def test_stop_while_it_runs():
    runner = LoopRunner()

    async def main(stop: Stop) -> str:
        asyncio.get_running_loop().call_soon(runner.stop)
        return await _until_stopped(stop)

    with pytest.raises(StoppedError, match="told to stop"):
        runner.run(main)


def test_stop_from_another_thread_and_more_than_once():
    runner = LoopRunner()

    async def main(stop: Stop) -> str:
        thread = threading.Thread(target=lambda: (runner.stop(), runner.stop()))
        thread.start()
        try:
            return await _until_stopped(stop)
        finally:
            thread.join()

    with pytest.raises(StoppedError):
        runner.run(main)


def test_stop_after_the_loop_does_nothing():
    runner = LoopRunner()
    assert runner.run(_at_once) == "done"
    runner.stop()
    assert runner.run(_at_once) == "done", "a task that is cleared may run in the same process"


def test_stop_after_a_run_that_failed_does_nothing():
    runner = LoopRunner()

    async def main(stop: Stop) -> str:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is the test's own
        runner.run(main)
    runner.stop()
    assert runner.run(_at_once) == "done"


class _Interrupted(BaseException):
    """What Airflow raises in a signal handler, a task's timeout for example, is no Exception."""


def _interrupt(*args: object) -> None:
    raise _Interrupted


@pytest.fixture
def handler() -> Iterator[Callable[[Any], None]]:
    previous = signal.getsignal(signal.SIGALRM)
    yield lambda handle: signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize(
    "interrupt",
    [
        pytest.param(lambda: signal.setitimer(signal.ITIMER_REAL, 0.02), id="while the loop waits"),
        pytest.param(lambda: asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGALRM), id="callback"),
    ],
)
def test_what_a_signal_handler_raises_lets_the_run_drain(handler, interrupt):
    drained = []
    handler(_interrupt)

    async def main(stop: Stop) -> str:
        interrupt()
        await stop.wait()
        await asyncio.sleep(0)
        drained.append(stop.error)
        raise stop.error or AssertionError

    with pytest.raises(_Interrupted):
        LoopRunner().run(main)
    assert len(drained) == 1


def test_a_signal_handler_that_only_stops(handler):
    runner = LoopRunner()
    handler(lambda *args: runner.stop())

    async def main(stop: Stop) -> str:
        signal.raise_signal(signal.SIGALRM)
        return await _until_stopped(stop)

    with pytest.raises(StoppedError, match="told to stop"):
        runner.run(main)


# --- the S3 client ------------------------------------------------------------------------------------------------


def test_the_s3_client_takes_the_connections_settings_over_its_own(monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_AWS_DEFAULT",
        '{"conn_type": "aws", "login": "key", "password": "secret", "extra": {"endpoint_url": "http://127.0.0.1:1", '
        '"region_name": "eu-west-1", "config_kwargs": {"read_timeout": 7, "max_pool_connections": 1}}}',
    )
    client = s3_client("aws_default", 40)
    config = client.meta.config
    assert client.meta.endpoint_url == "http://127.0.0.1:1"
    assert client.meta.region_name == "eu-west-1"
    assert (config.read_timeout, config.connect_timeout) == (7, 10)
    assert config.max_pool_connections == 48, "as many as threads call at once"
    assert config.retries["mode"] == "standard"


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


def test_with_redis_the_limit_is_shared_under_the_name_of_the_aigen_connection():
    received = []

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (line := await reader.read(1 << 16)) and b"EVALSHA" not in line:
            writer.write(b"+OK\r\n" * line.count(b"*"))
        received.append(line)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        redis = RedisSettings("127.0.0.1", server.sockets[0].getsockname()[1])
        async with server, open_limiter(_settings(redis=redis, aigen_conn_id="aigen_thailand"), FakeClock()):
            raise AssertionError("nothing answers there")

    with pytest.raises(TransientError, match="redis_conn_id"):
        asyncio.run(main())
    assert b"{aigen_thailand}" in received[0]
    assert b"a-key-of-nobody" not in received[0]


def test_without_the_extra_redis_the_message_says_what_to_install(monkeypatch):
    # Imported already or not: what is None can't be imported.
    for name in ["redis", *(name for name in sys.modules if name.startswith("redis."))]:
        monkeypatch.setitem(sys.modules, name, None)

    async def main() -> None:
        async with open_limiter(_settings(redis=RedisSettings("cache")), FakeClock()):
            raise AssertionError("it cannot be opened")

    with pytest.raises(ConfigurationError, match=r"redis_conn_id: .*pip install 'airflow-provider-aigen\[redis\]'"):
        asyncio.run(main())


# --- the ports ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "probed"),
    [("s3://lake/books/_aigen/", False), ("s3://lake/state/", True), ("s3://books/books/_aigen/", True)],
)
def test_the_destination_is_probed_unless_the_state_inside_it_is(state, probed):
    written: list[str] = []

    class Client:
        """Of boto3, as far as a probe goes."""

        meta = SimpleNamespace(
            config=SimpleNamespace(max_pool_connections=10), events=SimpleNamespace(register=lambda *_, **__: None)
        )

        def put_object(self, **arguments: Any) -> dict[str, Any]:
            written.append(f"{arguments['Bucket']}/{arguments['Key']}")
            return {}

    ports_of = _settings(client=Client(), state=state)

    async def main() -> None:
        async with open_ports(ports_of) as ports:
            await ports.tables.probe()

    asyncio.run(main())
    assert written == (["lake/books/_aigen_probe"] if probed else [])
