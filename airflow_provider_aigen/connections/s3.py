# SPDX-License-Identifier: Apache-2.0
"""Airflow's AWS connection → a client for S3. Only a running task imports this."""

from __future__ import annotations

from typing import Any

from airflow.providers.amazon.aws.hooks.s3 import S3Hook
from botocore.config import Config

__all__ = ["s3_client", "s3_concurrency"]

# S3 calls beside those that the documents in flight make: listing, state, effects.
_S3_CALLS_BESIDE = 8


class _Hook(S3Hook):
    """Names itself as its caller in the user agent. Airflow's hook looks for an operator through the whole call stack
    and the source files of all modules, which takes 0.1 s."""

    def _get_caller(self, target_function_name: str = "execute") -> str:  # noqa: ARG002 - as the hook calls it
        return "Aigen"


def s3_concurrency(max_in_flight: int) -> int:
    """How many S3 calls a task makes at once, and so how many connections its client needs."""
    return max_in_flight + _S3_CALLS_BESIDE


def s3_client(aws_conn_id: str | None, max_in_flight: int) -> Any:
    """A boto3 client from the AWS connection, with one HTTP connection for each S3 call at once.

    The connection's own config stands over our defaults. It is looked up here, synchronously (design §7)."""
    hook = _Hook(aws_conn_id=aws_conn_id)
    ours = Config(retries={"mode": "standard", "max_attempts": 6}, connect_timeout=10, read_timeout=60)
    pool = Config(max_pool_connections=s3_concurrency(max_in_flight))
    return hook.get_client_type(config=ours.merge(hook.config).merge(pool))
