# SPDX-License-Identifier: Apache-2.0
"""Work that a stop breaks off, and work that it comes too late for."""

from __future__ import annotations

import asyncio

import pytest

from airflow_provider_aigen.core.errors import StoppedError
from airflow_provider_aigen.pipeline import Stop


def test_a_stop_breaks_work_off_and_is_what_is_raised():
    async def scenario() -> None:
        stop, ended = Stop(), []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("cleanly")

        waiting = asyncio.ensure_future(stop.or_result(work()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        stop.set(StoppedError("told to"))
        stop.set(StoppedError("told again"))
        with pytest.raises(StoppedError, match="told to"):
            await waiting
        assert ended == ["cleanly"]

    asyncio.run(scenario())


def test_a_stop_before_the_work_lets_none_of_it_happen():
    async def scenario() -> None:
        stop, done = Stop(), []
        stop.set(StoppedError("told to"))

        async def work() -> None:
            done.append("something")

        with pytest.raises(StoppedError):
            await stop.or_result(work())
        assert done == []

    asyncio.run(scenario())


def test_a_stop_after_the_result_changes_nothing():
    async def scenario() -> None:
        stop = Stop()

        async def work() -> str:
            return "done"

        assert await stop.or_result(work()) == "done"
        stop.set(StoppedError("told to"))

    asyncio.run(scenario())


def test_a_cancellation_from_elsewhere_is_no_stop():
    async def scenario() -> None:
        waiting = asyncio.ensure_future(Stop().or_result(asyncio.Event().wait()))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scenario())
