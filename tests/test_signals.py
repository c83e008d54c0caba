# SPDX-License-Identifier: Apache-2.0
"""A coroutine that is run alone, and what a signal handler raises meanwhile. ``tests/runtime/test_loop.py`` has the
same for a task."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_aigen.signals import run


class _Timeout(BaseException):
    """Airflow's own is no ``Exception`` either."""


def _time_out(*args: object) -> None:
    raise _Timeout


@pytest.fixture
def alarm() -> Iterator[None]:
    """At SIGALRM the time is over."""
    before = signal.signal(signal.SIGALRM, _time_out)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert signal.signal(signal.SIGALRM, before) is _time_out, "the handler is the caller's again"


async def _strike() -> None:
    signal.raise_signal(signal.SIGALRM)


@pytest.mark.usefixtures("alarm")
@pytest.mark.parametrize(
    "strike",
    [
        pytest.param(lambda: signal.setitimer(signal.ITIMER_REAL, 0.02), id="while the loop waits"),
        pytest.param(lambda: asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGALRM), id="callback"),
        pytest.param(lambda: asyncio.ensure_future(_strike()), id="in a task that nobody waits for"),
    ],
)
def test_a_timeout_ends_it_in_order(strike: Callable[[], object]):
    ended: list[object] = []

    async def main() -> None:
        ended.append(strike())
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 5)
        finally:
            await asyncio.sleep(0)
            ended.append("in order")

    with pytest.raises(_Timeout):
        run(main())
    assert ended[1:] == ["in order"]


@pytest.mark.usefixtures("alarm")
def test_a_timeout_in_the_last_moment_is_raised():
    with pytest.raises(_Timeout):
        run(_strike())


def test_it_gives_what_the_coroutine_gives():
    async def main() -> str:
        return "done"

    async def fail() -> str:
        raise ValueError("of the coroutine")

    assert run(main()) == "done"
    with pytest.raises(ValueError, match="of the coroutine"):
        run(fail())


def test_in_another_thread_it_is_as_in_the_main_one():
    async def main() -> None:
        given.append(threading.current_thread() is thread)

    given: list[bool] = []
    thread = threading.Thread(target=lambda: run(main()))
    thread.start()
    thread.join()
    assert given == [True]
