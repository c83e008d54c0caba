# SPDX-License-Identifier: Apache-2.0
"""The shared limiter over processes, on a Redis and a clock that are real: what one process cannot show of itself."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme

from airflow_provider_aigen.adapters.clock import SystemClock
from airflow_provider_aigen.adapters.rate_limit_redis import RedisRateLimiter
from airflow_provider_aigen.adapters.redis_connection import RedisSettings, open_client
from airflow_provider_aigen.core.errors import ConfigurationError, TransientError
from benchmarks.redis_server import free_port, redis_server

ROOT = Path(__file__).resolve().parents[2]
TASKS = 4
TRIES = 3  # a machine that is busy otherwise may use less of the limit; it may never use more


class Workers:
    """Processes of ``benchmarks.limiter_worker``, all at work at once."""

    def __init__(self, port, rate, seconds, settings=({},) * TASKS):
        shared = {"port": port, "rate": rate, "seconds": seconds, "callers": math.ceil(rate / 8)}
        self.processes = [self._start(shared | of_its_own) for of_its_own in settings]
        for process in self.processes:
            assert process.stdout.readline() == "{}\n"

    @staticmethod
    def _start(work):
        return subprocess.Popen(
            [sys.executable, "-m", "benchmarks.limiter_worker", json.dumps(work)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def go(self):
        self.begun_s = time.monotonic()
        for process in self.processes:
            process.stdin.write("\n")
            process.stdin.flush()

    def results(self):
        """What those who live have to say, and what they logged."""
        said = [process.communicate(timeout=60) for process in self.processes]
        return [json.loads(out) for out, _ in said if out], [log for out, log in said if out]


def assert_within(rate, starts):
    for first, next_one in zip(starts, starts[rate:], strict=False):
        assert next_one - first >= 1, "a sliding second is over the limit"


def all_starts(results):
    return sorted(start for result in results for start in result["starts"])


# It is the clock on the wall that is measured: beside other tests on two cores it would fail for their sake.
@pytest.mark.real_time
def test_four_processes_stay_within_the_limit_use_it_and_share_it(own_redis):
    rate = 100
    for _ in range(TRIES):
        workers = Workers(own_redis.port, rate, 1.5)
        workers.go()
        results, _ = workers.results()
        starts = all_starts(results)
        assert_within(rate, starts)
        used = (len(starts) - 1) / (starts[-1] - starts[0]) / rate
        shares = [len(result["starts"]) for result in results]
        if used >= 0.98 and min(shares) / max(shares) >= 0.8:
            return
    raise AssertionError(f"{used:.3f} of the limit used, shares {shares}")


@pytest.mark.real_time
def test_a_pause_a_killed_worker_and_a_redis_that_is_started_again(own_redis):
    """0.3 s: one is throttled for 0.3 s. 0.8 s: one is killed. 0.9 s: Redis is killed, and comes back empty."""
    rate = 60
    workers = Workers(own_redis.port, rate, 5.0, [{"pause_at_s": 0.3, "pause_s": 0.3}, {}, {}, {}])
    workers.go()
    time.sleep(0.8)
    workers.processes[3].kill()
    time.sleep(0.1)
    own_redis.stop()
    stopped_s = time.monotonic()
    time.sleep(1.2)
    own_redis.start()
    results, logs = workers.results()

    assert len(results) == 3
    starts = all_starts(results)
    assert_within(rate, starts)
    [paused_s] = [pause for result in results for pause in result["pauses"]]
    assert [start for start in starts if start < paused_s]
    assert [start for start in starts if paused_s + 0.1 < start < paused_s + 0.3] == []
    assert [start for start in starts if paused_s + 0.3 <= start < stopped_s]
    assert [start for start in starts if stopped_s + 1 < start < stopped_s + 1.5], "each went on with its share"
    assert max(start for start in starts) > stopped_s + 3.5, "and nobody stopped"
    for log in logs:
        assert log.count("Redis is lost") == log.count("Redis is back") == 1
    assert own_redis.client().exists("aigen:limiter:{bench}:pace") == 1, "they share it again"


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
