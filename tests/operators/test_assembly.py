# SPDX-License-Identifier: Apache-2.0
"""The one event loop of a task, and how it is stopped from outside."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_aigen.core.config import EndpointConfig
from airflow_provider_aigen.core.errors import StoppedError
from airflow_provider_aigen.operators.assembly import LoopRunner, PortSettings, open_ports, s3_client
from airflow_provider_aigen.pipeline import Stop


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


# --- the ports ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "probed"),
    [("s3://lake/books/_aigen/", False), ("s3://lake/state/", True), ("s3://books/books/_aigen/", True)],
)
def test_the_destination_is_probed_unless_the_state_inside_it_is(state, probed):
    written: list[str] = []

    class Client:
        """Of boto3, as far as a probe goes."""

        meta = SimpleNamespace(config=SimpleNamespace(max_pool_connections=10))

        def put_object(self, **arguments: Any) -> dict[str, Any]:
            written.append(f"{arguments['Bucket']}/{arguments['Key']}")
            return {}

    settings = PortSettings(
        client=Client(),
        endpoint=EndpointConfig("https://ocr.example.org", "a-key-of-nobody"),
        requests_per_second=5.0,
        max_in_flight=1,
        destination="s3://lake/books/",
        state=state,
        dead_letter="s3://lake/dead/",
        expected_bucket_owner=None,
        sse_kms_key_id=None,
    )

    async def main() -> None:
        async with open_ports(settings) as ports:
            await ports.tables.probe()

    asyncio.run(main())
    assert written == (["lake/books/_aigen_probe"] if probed else [])
