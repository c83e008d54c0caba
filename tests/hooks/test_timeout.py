# SPDX-License-Identifier: Apache-2.0
"""A task's timeout, which strikes while a hook waits for the endpoint."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Self

import pytest

from airflow_provider_aigen.hooks import extractor
from airflow_provider_aigen.hooks.aigen import AigenHook
from tests.scans import scan


class _Timeout(BaseException):
    """Airflow's own is no ``Exception`` either."""


class _Endless:
    """A client that gets no answer. The time is over while the event loop runs a callback."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *args: object) -> None:
        pass

    async def call(self, *args: object, **kwargs: object) -> None:
        asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGALRM)
        await asyncio.wait_for(asyncio.Event().wait(), 5)


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda hook: hook.extract(scan({})), id="extract"),
        pytest.param(lambda hook: hook.test_connection(), id="test_connection"),
    ],
)
def test_a_timeout_ends_the_call(monkeypatch: pytest.MonkeyPatch, call: Callable[[AigenHook], object]):
    def time_out(*args: object) -> None:
        raise _Timeout

    connection = {"conn_type": "aigen", "password": "a-key-of-the-test", "host": "http://127.0.0.1:1"}
    monkeypatch.setenv("AIRFLOW_CONN_AIGEN_DEFAULT", json.dumps({**connection, "extra": {"allow_http": True}}))
    monkeypatch.setattr(extractor, "HttpOcrClient", _Endless)
    before = signal.signal(signal.SIGALRM, time_out)
    try:
        with pytest.raises(_Timeout):
            call(AigenHook())
    finally:
        signal.signal(signal.SIGALRM, before)
