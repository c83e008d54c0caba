# SPDX-License-Identifier: Apache-2.0
"""One try of a task, in a process of its own: what ``AigenOcrOperator.execute`` does after it has resolved its
connections, with Airflow's signals. SIGTERM is ``on_kill``; the process ends by ``os._exit``, as Airflow's does."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from airflow_provider_aigen.adapters.endpoint.client import HttpOcrClient  # noqa: F401
from airflow_provider_aigen.adapters.state import claims
from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig, RetryConfig
from airflow_provider_aigen.core.errors import PermanentError, TransientError
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.pipeline import Stop, feed, heartbeat
from airflow_provider_aigen.runtime.loop import LoopRunner
from tests.kit.servers.s3 import S3Server
from tests.kit.tries import run_try

__all__ = ["BUG", "DONE", "KEY", "NO_RETRY", "RETRY", "Try", "work"]

DONE, RETRY, NO_RETRY, BUG = 0, 10, 11, 12  # exit codes
KEY = "simulator-key-0000"
_SESSION = boto3.session.Session()
_SESSION.client("s3", region_name="us-east-1", endpoint_url="http://127.0.0.1:1")  # reads the service's description


@dataclass(frozen=True)
class Try:
    """``prefix`` is the trial's folder in both buckets. The two URLs are those of its proxies. ``writer_lives_s`` and
    those after it are shorter than a user's, so that a trial is; none of them changes what is written."""

    prefix: str
    run_id: str
    s3: S3Server
    aigen_url: str
    log: Path
    max_in_flight: int
    batch_size: int
    requests_per_second: float
    writer_lives_s: float
    timeout_s: float
    s3_timeout_s: float
    grace_s: float = 4.0


def work(task: Try) -> None:
    """Never returns."""
    shorten_lives(task.writer_lives_s)
    runner = LoopRunner()
    signal.signal(signal.SIGTERM, lambda *_: runner.stop())
    log = os.open(task.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        report = runner.run(lambda stop: _run(task, stop), Stop())
        print(report)
        code = DONE
    except PermanentError:
        code = NO_RETRY
        traceback.print_exc()
    except TransientError:
        code = RETRY
        traceback.print_exc()
    except BaseException:  # noqa: BLE001 - it is what the trial looks for
        code = BUG
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def shorten_lives(writer_lives_s: float) -> None:
    """In this process, so that a trial need not wait for half a minute after each kill. S3 dates in whole seconds."""
    assert claims.WRITER_LIVES == feed.WRITER_LIVES
    claims.WRITER_LIVES = feed.WRITER_LIVES = timedelta(seconds=writer_lives_s)
    heartbeat.BEAT_S = writer_lives_s / 2
    heartbeat._LATE_S = writer_lives_s * 2 / 3


async def _run(task: Try, stop: Any) -> Any:
    config = PipelineConfig(
        max_in_flight=task.max_in_flight,
        grace_s=task.grace_s,
        retry=RetryConfig(backoff_base_s=0.05, backoff_cap_s=0.5),
    )
    return await run_try(
        _client(task),
        EndpointConfig(task.aigen_url, KEY, timeout_s=task.timeout_s, allow_http=True),
        RunIdentity("crash", "ocr", task.run_id),
        stop,
        config=config,
        source=f"s3://scans/{task.prefix}/",
        destination=f"s3://lake/{task.prefix}/",
        dead_letter=f"s3://lake/dead/{task.prefix}/",
        requests_per_second=task.requests_per_second,
        batch_size=task.batch_size,
        min_confidence=0.8,
        retry_passing_after_s=0.5,
    )


def _client(task: Try) -> Any:
    return _SESSION.client(
        "s3",
        endpoint_url=task.s3.endpoint_url,
        aws_access_key_id=task.s3.access_key,
        aws_secret_access_key=task.s3.secret_key,
        region_name=task.s3.region,
        config=Config(
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            retries={"mode": "standard", "max_attempts": 6},  # as connections.s3.s3_client
            connect_timeout=task.s3_timeout_s,
            read_timeout=task.s3_timeout_s,
            max_pool_connections=task.max_in_flight + 8,
        ),
    )
