# SPDX-License-Identifier: Apache-2.0
"""An S3 server for each test process, started when a test first asks for it, and buckets that are empty."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_aigen.adapters.s3.store import S3ObjectStore
from tests.kit.servers.redis import RedisServer, redis_server
from tests.kit.servers.s3 import S3Server, moto
from tests.kit.servers.scripted import ScriptedServer, scripted_server

_NUMBERS = itertools.count()
_ENOUGH_TO_DROP_THE_BUCKET = 100


@pytest.fixture(scope="session")
def s3_client(s3_server: S3Server) -> Any:
    return s3_server.client(max_pool_connections=32)


@pytest.fixture(scope="session")
def _empty_buckets() -> list[str]:
    return []


@pytest.fixture
def make_bucket(s3_client: Any, _empty_buckets: list[str]) -> Iterator[Callable[[], str]]:
    """An empty bucket at each call. They are used again: a new one costs the server 0.2 s at its first write."""
    taken: list[str] = []

    def make() -> str:
        if _empty_buckets:
            name = _empty_buckets.pop()
        else:
            name = f"bucket-{next(_NUMBERS)}"
            s3_client.create_bucket(Bucket=name)
        taken.append(name)
        return name

    yield make
    for name in taken:
        keys = [item["Key"] for item in s3_client.list_objects_v2(Bucket=name).get("Contents", ())]
        if len(keys) > _ENOUGH_TO_DROP_THE_BUCKET:
            continue
        for key in keys:
            s3_client.delete_object(Bucket=name, Key=key)
        _empty_buckets.append(name)


@pytest.fixture
def bucket(make_bucket: Callable[[], str]) -> str:
    return make_bucket()


@pytest.fixture
def store(s3_client: Any) -> Iterator[S3ObjectStore]:
    store = S3ObjectStore(s3_client, concurrency=32)
    yield store
    store.close()


@pytest.fixture(scope="session")
def moto_client() -> Iterator[Any]:
    with moto() as server:
        yield server.client()


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    with scripted_server() as server:
        yield server


@pytest.fixture(scope="session")
def _redis_binary() -> None:
    """Debian's package. CI installs it, here where nothing did before; anybody else is told what isn't tested."""
    if shutil.which("redis-server"):
        return
    if os.environ.get("CI") == "true" and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", "redis-server"]):
            subprocess.run(
                ["apt-get", "-qq", *command], check=False, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            )
    if not shutil.which("redis-server"):
        pytest.skip("THE SHARED LIMITER IS NOT TESTED: no redis-server here (apt-get install redis-server)")


@pytest.fixture(scope="session")
def redis_process(_redis_binary: None) -> Iterator[RedisServer]:
    """A Redis for each test process. Leave it running: others use it."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="session")
def redis_client(redis_process: RedisServer) -> Any:
    """A synchronous client of it."""
    return redis_process.client()


@pytest.fixture
def own_redis(_redis_binary: None) -> Iterator[RedisServer]:
    """One that a test may stop."""
    with redis_server() as server:
        yield server
