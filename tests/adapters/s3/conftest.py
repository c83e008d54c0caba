# SPDX-License-Identifier: Apache-2.0
"""The store through obstore and through boto3 alone: one suite for both."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider_aigen.adapters.s3.store import S3ObjectStore


@pytest.fixture(params=["obstore", "boto3"])
def store(request: pytest.FixtureRequest, s3_client: Any) -> Iterator[S3ObjectStore]:
    store = S3ObjectStore(s3_client, concurrency=32, through_obstore=request.param == "obstore")
    yield store
    store.close()
