# SPDX-License-Identifier: Apache-2.0
"""The example DAG that a queue wakes: its watcher takes the messages of a queue (moto's), and the clock stands beside
it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Self

import airflow
import boto3
import pytest

from tests.kit.servers.s3 import moto
from tests.parsing import parse, round_trip

pytestmark = pytest.mark.skipif(airflow.__version__.startswith("2."), reason="asset watchers exist from Airflow 3 on")

FILE = Path(__file__).resolve().parent.parent / "dags" / "aigen_on_arrival.py"


@pytest.fixture
def dag(airflow_db) -> Any:
    bag = parse(FILE)
    assert bag.import_errors == {}
    return bag.dags["aigen_on_arrival"]


def test_it_has_both_a_watcher_and_a_clock(dag):
    timetable = round_trip(dag).timetable
    assert timetable.timetable.summary == "0 * * * *"
    assert [asset.name for _, asset in timetable.asset_condition.iter_assets()] == ["aigen_scans_arrived"]


class _Async:
    """A client of boto3 as aiobotocore's: that is the amazon provider's, and no test is about it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def __getattr__(self, name: str) -> Any:
        async def call(**arguments: Any) -> Any:
            return await asyncio.to_thread(getattr(self._client, name), **arguments)

        return call


def test_one_event_takes_all_messages_of_a_burst_and_none_is_left(dag, monkeypatch):
    from airflow.providers.amazon.aws.hooks.sqs import SqsHook

    [asset] = dag.timetable.asset_condition.objects
    trigger = asset.watchers[0].trigger
    with moto() as server:
        client = boto3.client(
            "sqs",
            endpoint_url=server.endpoint_url,
            region_name=server.region,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
        )
        queue = client.create_queue(QueueName="scans-arrived")["QueueUrl"]
        for _ in range(25):
            client.send_message(QueueUrl=queue, MessageBody='{"scans": "arrived"}')

        async def connected(hook: SqsHook) -> _Async:
            return _Async(client)

        monkeypatch.setattr(SqsHook, "get_async_conn", connected)
        made = type(trigger)(**trigger.serialize()[1] | {"sqs_queue": queue, "wait_time_seconds": 0})

        async def first() -> Any:
            events = made.run()
            try:
                return await anext(events)
            finally:
                await events.aclose()

        event = asyncio.run(first())
        assert len(event.payload["message_batch"]) == 25
        assert {message["Body"] for message in event.payload["message_batch"]} == {'{"scans": "arrived"}'}
        assert "Messages" not in client.receive_message(QueueUrl=queue)
