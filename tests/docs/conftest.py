# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest

from airflow_provider_aigen.simulator import running_simulator
from tests.docs.manual import Run, run_once
from tests.docs.world import World

_NUMBERS = count(1)


@pytest.fixture(scope="session")
def run(run_dag, tmp_path_factory) -> Iterator[Run]:
    with run_once(run_dag, tmp_path_factory.mktemp("readme")) as made:
        yield made


@pytest.fixture
def empty(request, s3_server) -> Iterator[World]:
    """Nothing in it; with the parameter ``versioned`` both buckets keep versions."""
    client = s3_server.client()
    bucket = f"docs-{next(_NUMBERS)}"
    for name in (bucket, f"{bucket}-scans"):
        client.create_bucket(Bucket=name)
        if getattr(request, "param", None) == "versioned":
            client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    with running_simulator() as served:
        yield World(s3_server, client, served, bucket)
