# SPDX-License-Identifier: Apache-2.0
"""The one event loop of a task, and how it is stopped from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from airflow_provider_aigen.core.errors import StoppedError
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.runtime.loop import LoopRunner


@pytest.fixture(autouse=True, params=["uvloop", "asyncio"])
def loop_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The package whose event loop runs. Airflow 2 does not install uvloop."""
    name: str = request.param
    if name == "asyncio":
        monkeypatch.setitem(sys.modules, "uvloop", None)
    else:
        pytest.importorskip("uvloop")
    return name


async def _until_stopped(stop: Stop) -> str:
    await stop.wait()
    raise stop.error or AssertionError


async def _at_once(stop: Stop) -> str:
    return "done"


def test_it_runs_what_it_is_given():
    assert LoopRunner().run(_at_once, Stop()) == "done"


def test_it_is_uvloops_loop_where_that_is_installed(loop_of):
    async def main(stop: Stop) -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    assert LoopRunner().run(main, Stop()) == loop_of


def test_stop_before_the_loop_is_kept():
    runner = LoopRunner()
    runner.stop()
    with pytest.raises(StoppedError, match="told to stop"):
        runner.run(_at_once, Stop())


def test_stop_while_it_runs():
    runner = LoopRunner()

    async def main(stop: Stop) -> str:
        asyncio.get_running_loop().call_soon(runner.stop)
        return await _until_stopped(stop)

    with pytest.raises(StoppedError, match="told to stop"):
        runner.run(main, Stop())


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
        runner.run(main, Stop())


def test_stop_after_the_loop_does_nothing():
    runner = LoopRunner()
    assert runner.run(_at_once, Stop()) == "done"
    runner.stop()
    assert runner.run(_at_once, Stop()) == "done", "a task that is cleared may run in the same process"


def test_stop_after_a_run_that_failed_does_nothing():
    runner = LoopRunner()

    async def main(stop: Stop) -> str:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it is the test's own
        runner.run(main, Stop())
    runner.stop()
    assert runner.run(_at_once, Stop()) == "done"


class _Interrupted(BaseException):
    """What Airflow raises in a signal handler, a task's timeout for example, is no Exception."""


class _Late(Exception):
    """What others raise there is one."""


def _raises(error: type[BaseException]) -> Callable[..., None]:
    def handle(*args: object) -> None:
        raise error

    return handle


async def _wait() -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), 5)


async def _block() -> None:
    threading.Event().wait(5)


async def _raise_signal() -> None:
    signal.raise_signal(signal.SIGALRM)


@pytest.fixture
def handler() -> Iterator[Callable[[Any], None]]:
    previous = signal.getsignal(signal.SIGALRM)
    yield lambda handle: signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize("error", [_Interrupted, _Late])
@pytest.mark.parametrize(
    "interrupt",
    [
        pytest.param(lambda: signal.setitimer(signal.ITIMER_REAL, 0.02), id="while the loop waits"),
        pytest.param(lambda: asyncio.get_running_loop().call_soon(signal.raise_signal, signal.SIGALRM), id="callback"),
        pytest.param(lambda: asyncio.ensure_future(_raise_signal()), id="in a task that nobody waits for"),
    ],
)
def test_what_a_signal_handler_raises_lets_the_run_drain(handler, interrupt, error):
    drained = []
    handler(_raises(error))

    async def main(stop: Stop) -> str:
        interrupted = interrupt()
        await asyncio.wait_for(stop.wait(), 5)
        await asyncio.sleep(0)
        drained.append((stop.error, interrupted))
        raise stop.error or AssertionError

    with pytest.raises(error):
        LoopRunner().run(main, Stop())
    assert isinstance(drained[0][0], StoppedError)


def test_what_a_signal_handler_raises_just_before_the_end_is_raised(handler):
    handler(_raises(_Interrupted))

    async def main(stop: Stop) -> str:
        await _raise_signal()
        return "done"

    with pytest.raises(_Interrupted):
        LoopRunner().run(main, Stop())


@pytest.mark.parametrize("error", [_Interrupted, _Late, KeyboardInterrupt])
@pytest.mark.parametrize("does_not_end", [_wait, _block], ids=["waits", "blocks the loop"])
def test_further_signals_end_what_does_not_end_in_order(handler, error, does_not_end):
    left = [3 if does_not_end is _block else 2]

    def handle(*args: object) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise error

    handler(handle)

    async def main(stop: Stop) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        await stop.wait()
        await does_not_end()
        ended.append(True)

    ended: list[bool] = []
    with pytest.raises(error):
        LoopRunner().run(main, Stop())
    assert not ended


def test_a_forked_process_is_no_part_of_the_run(handler):
    """It has the handlers and not the loop, so there it is raised where it strikes."""
    handler(_raises(_Interrupted))

    async def main(stop: Stop) -> tuple[int, bool]:
        child = os.fork()
        if not child:
            with suppress(_Interrupted):
                signal.raise_signal(signal.SIGALRM)
                os._exit(1)
            os._exit(0)
        return child, stop.is_set

    child, is_stopped = LoopRunner().run(main, Stop())
    assert (os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), is_stopped) == (0, False)


def test_signal_handlers_are_the_callers_again(handler):
    own = _raises(_Interrupted)
    handler(own)

    async def main(stop: Stop) -> bool:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        return signal.getsignal(signal.SIGALRM) is own

    before = signal.signal(signal.SIGUSR1, own)
    try:
        assert not LoopRunner().run(main, Stop())
        assert (signal.getsignal(signal.SIGALRM), signal.getsignal(signal.SIGUSR1)) == (own, signal.SIG_IGN)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_that_only_stops(handler):
    runner = LoopRunner()
    handler(lambda *args: runner.stop())

    async def main(stop: Stop) -> str:
        signal.raise_signal(signal.SIGALRM)
        return await _until_stopped(stop)

    with pytest.raises(StoppedError, match="told to stop"):
        runner.run(main, Stop())
