# SPDX-License-Identifier: Apache-2.0
"""What a task sets for its process while its loop runs, and sets back."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading

import pytest

from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.runtime.loop import LoopRunner
from tests.kit.servers.process import ROOT, environment


async def _at_once(stop: Stop) -> str:
    return "done"


def test_garbage_collection_leaves_out_what_was_there_before_while_the_loop_runs():
    async def main(stop: Stop) -> tuple[int, int]:
        return gc.get_freeze_count(), gc.get_threshold()[2]

    before = gc.get_threshold()
    frozen, full = LoopRunner().run(main, Stop())
    assert frozen > 10_000
    assert full == 1000
    assert (gc.get_freeze_count(), gc.get_threshold()) == (0, before)


def test_what_a_parent_process_froze_stays_frozen():
    gc.freeze()
    try:
        LoopRunner().run(_at_once, Stop())
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()


def test_threads_take_short_turns_while_the_loop_runs():
    async def main(stop: Stop) -> float:
        return sys.getswitchinterval()

    before = sys.getswitchinterval()
    assert LoopRunner().run(main, Stop()) == pytest.approx(0.0005)
    assert sys.getswitchinterval() == before


_ASKS_OBSTORE = """
import os
from pathlib import Path
from obstore.store import MemoryStore
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.runtime.loop import LoopRunner

async def main(stop):
    await MemoryStore().put_async("one", b"1")
    names = [task.joinpath("comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    return sum(name.startswith("tokio") for name in names)

print(LoopRunner().run(main, Stop()), "TOKIO_WORKER_THREADS" in os.environ)
"""


def _threads_of_obstore(**said: str) -> int:
    """How many a new process has after a request, when its environment says this."""
    done = subprocess.run(
        [sys.executable, "-c", _ASKS_OBSTORE],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(PYTHONPATH=str(ROOT), **said),
        cwd=ROOT,
    )
    count, is_said = done.stdout.split()
    assert is_said == str(bool(said)), "the environment is as it was"
    return int(count)


def test_a_thread_that_waits_for_the_interpreter_has_had_it_when_the_run_is_over(monkeypatch):
    """As obstore's does after the last answer, with asyncio's own loop."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    over = threading.Event()
    had: list[bool] = []

    def wait() -> None:
        over.wait()
        had.append(True)

    def close(loop: asyncio.SelectorEventLoop) -> None:
        really_close(loop)
        over.set()

    async def main(stop: Stop) -> None:
        threading.Thread(target=wait, daemon=True).start()

    really_close = asyncio.SelectorEventLoop.close
    monkeypatch.setattr(asyncio.SelectorEventLoop, "close", close)
    LoopRunner().run(main, Stop())
    assert had == [True]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the names of threads are read from /proc")
def test_obstore_has_one_thread_unless_the_environment_says_more():
    assert _threads_of_obstore() == _threads_of_obstore(TOKIO_WORKER_THREADS="1")
    assert _threads_of_obstore() < _threads_of_obstore(TOKIO_WORKER_THREADS="3")
