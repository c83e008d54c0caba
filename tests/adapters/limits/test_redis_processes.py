# SPDX-License-Identifier: Apache-2.0
"""The shared limiter over processes, on a Redis and a clock that are real: what one process cannot show of itself.

Nothing here is a matter of speed: how much of the limit is used, and how far the calls themselves are apart, is what
``benchmarks/shared_limiter.py`` measures."""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import trustme

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.limits.redis_client import RedisSettings, open_client
from airflow_provider_aigen.adapters.limits.redis_limiter import RedisRateLimiter
from airflow_provider_aigen.core.errors import ConfigurationError, TransientError
from tests.kit.servers.process import free_port
from tests.kit.servers.redis import redis_server

ROOT = Path(__file__).resolve().parents[2]
TASKS = 4
PATIENCE_S = 120.0  # with a machine on which nothing moves; nothing is expected to be fast
CLOCK_S = 0.005  # by which the machine may slew its clock within a test


class Process:
    """One of ``tests.adapters.limits.limiter_process``, and what it said so far."""

    def __init__(self, port, rate, heard):
        self._heard = heard
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.adapters.limits.limiter_process", json.dumps({"port": port, "rate": rate})],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.events = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            with self._heard:
                if line.endswith("}\n"):  # else it was killed in the middle
                    self.events.append(json.loads(line))
                self._heard.notify_all()

    def tell(self, **words):
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def kill(self):
        self._process.kill()

    def leave(self):
        with suppress(OSError):
            self._process.stdin.close()
        try:
            return self._process.wait(PATIENCE_S)
        finally:
            self._process.kill()
            self._reader.join()
            self._process.stdout.close()

    def said(self, name):
        return [event[name] for event in self.events if name in event]

    def logged(self, words):
        return sum(words in line for line in self.said("log"))

    @property
    def starts(self):
        return [event for event in self.events if "start_s" in event]

    @property
    def shared(self):
        return [start for start in self.starts if start["slot"] is not None]

    @property
    def on_its_own(self):
        return [start for start in self.starts if start["slot"] is None]


class Processes:
    def __init__(self, port, rate):
        self._heard = threading.Condition()
        self.all = [Process(port, rate, self._heard) for _ in range(TASKS)]

    def until(self, reached, *of):
        """Wait until it is so of each of them."""
        with self._heard:
            assert self._heard.wait_for(lambda: all(reached(process) for process in of or self.all), PATIENCE_S), [
                (len(process.shared), len(process.on_its_own), process.said("log")) for process in self.all
            ]

    def until_more(self, count, *of, on="shared"):
        """… has started so many more."""
        of = of or self.all
        before = {process: len(getattr(process, on)) for process in of}
        self.until(lambda process: len(getattr(process, on)) >= before[process] + count, *of)

    @property
    def shared(self):
        return [start for process in self.all for start in process.shared]


@pytest.fixture
def processes(own_redis):
    with ExitStack() as left:

        def start(rate):
            started = Processes(own_redis.port, rate)
            for process in started.all:
                left.callback(process.leave)
            return started

        yield start


def assert_slots_are_kept(rate, starts):
    """What holds however late the machine lets the processes run: each slot is one call's, no ``rate + 1`` slots are
    within a second, no call starts before its slot, and none more than 50 ms after the last question to Redis."""
    assert len({start["slot"] for start in starts}) == len(starts)
    due_us = sorted(start["due_us"] for start in starts)
    for first, next_one in zip(due_us, due_us[rate:], strict=False):
        assert next_one - first >= 1_000_000
    since_1970_s = time.time() - time.monotonic()
    for start in starts:
        assert start["start_s"] + since_1970_s >= start["due_us"] / 1e6 - CLOCK_S
        assert start["asked_s"] >= start["looked_s"] - 0.050


def test_four_processes_a_pause_a_killed_process_and_a_redis_that_is_started_again(processes, own_redis):
    """One test, since processes take their time to start."""
    rate = 100
    four = processes(rate)
    four.until_more(60)
    assert_slots_are_kept(rate, four.shared)

    four.all[0].tell(pause_s=0.3)
    four.until(lambda process: process.said("throttled"), four.all[0])
    four.until_more(10)
    [(before_s, after_s)] = four.all[0].said("throttled")
    later = [start for start in four.shared if start["asked_s"] > after_s]
    assert len(later) >= 20
    assert min(start["start_s"] for start in later) >= before_s + 0.3

    *three, killed = four.all
    killed.kill()
    four.until_more(20, *three)

    own_redis.stop()
    four.until_more(10, *three, on="on_its_own")
    started_us = time.time() * 1e6
    before = four.shared
    assert_slots_are_kept(rate, before)
    own_redis.start()
    four.until_more(20, *three)

    for process in three:
        # Once, except on a machine that does not let Redis run for half a second.
        assert process.logged("Redis is lost") >= 1 <= process.logged("Redis is back")
        for first, next_one in itertools.pairwise(process.starts):
            if first["slot"] is not None and next_one["slot"] is None:
                assert next_one["start_s"] >= first["start_s"] + 1, "not before every shared slot is a second ago"
        own = [start["start_s"] for start in process.on_its_own]
        for first, next_one in zip(own, own[rate // TASKS :], strict=False):
            assert next_one - first >= 1, "the four shares add up to the limit"
    again = [start for start in four.shared if start not in before]
    assert min(start["due_us"] for start in again) >= started_us + 2.3e6, "until all have noticed, and a second more"
    assert_slots_are_kept(rate, again)  # their numbers begin at 1 again


def _enter(**settings):
    async def enter():
        client = open_client(RedisSettings("127.0.0.1", **settings), timeout_s=1.0)
        async with client, RedisRateLimiter(client, "aigen_default", 5, SystemClock()) as limiter:
            await limiter.acquire()

    asyncio.run(enter())


def test_a_redis_that_is_down_at_the_start_is_an_error_that_a_later_try_may_not_meet(own_redis):
    own_redis.stop()
    with pytest.raises(TransientError, match="redis_conn_id: Redis can't be reached"):
        _enter(port=own_redis.port)


@pytest.fixture(scope="module")
def strict_redis(_redis_binary):
    with redis_server("--requirepass", "the-password", *["--user", "reader", "on", ">reads", "~*", "+@read"]) as server:
        yield server


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({}, "refuses"),
        ({"password": "another-password"}, "refuses"),
        ({"username": "nobody", "password": "the-password"}, "refuses"),
        ({"username": "reader", "password": "reads"}, "refuses"),
        ({"password": "the-password", "db": 99}, "ResponseError"),
    ],
)
def test_a_redis_that_refuses_is_a_wrong_configuration(strict_redis, settings, problem):
    with pytest.raises(ConfigurationError, match=f"redis_conn_id: .*{problem}") as refused:
        _enter(port=strict_redis.port, **settings)
    assert "password" not in str(refused.value).replace("user or password", "")


def test_a_redis_that_accepts(strict_redis):
    _enter(port=strict_redis.port, password="the-password")
    keys = strict_redis.client(password="the-password").keys()
    assert sorted(keys) == ["aigen:limiter:{aigen_default}:pace", "aigen:limiter:{aigen_default}:slots"], (
        "a task that is done leaves no name behind"
    )


@pytest.mark.usefixtures("_redis_binary")
def test_tls(tmp_path):
    ca = trustme.CA()
    files = {name: str(tmp_path / name) for name in ("ca", "cert", "key")}
    server_cert = ca.issue_cert("127.0.0.1")
    ca.cert_pem.write_to_path(files["ca"])
    server_cert.private_key_pem.write_to_path(files["key"])
    server_cert.cert_chain_pems[0].write_to_path(files["cert"])
    port = free_port()
    options = {"port": str(port), "ca-cert-file": files["ca"], "cert-file": files["cert"], "key-file": files["key"]}
    with redis_server(*(part for name, value in options.items() for part in (f"--tls-{name}", value)),
                      "--tls-auth-clients", "no"):  # fmt: skip
        _enter(port=port, tls={"ssl_ca_certs": files["ca"]})
        with pytest.raises(TransientError, match="redis_conn_id"):
            _enter(port=port, tls={})
