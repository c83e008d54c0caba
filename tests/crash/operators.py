# SPDX-License-Identifier: Apache-2.0
"""One try of a run, a redrive, a rebuild or an erasure, in a process of its own that may be killed."""

from __future__ import annotations

import asyncio
import os
import sys
import traceback
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig
from airflow_provider_aigen.core.errors import ReconciliationError, TransientError
from airflow_provider_aigen.core.models import RunIdentity
from airflow_provider_aigen.core.upkeep.erasure import EraseRequest
from airflow_provider_aigen.core.upkeep.redrive import RedriveRequest
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.pipeline.upkeep import erase
from airflow_provider_aigen.pipeline.upkeep.rebuild import RebuildRequest
from airflow_provider_aigen.runtime.assembly import PortSettings
from airflow_provider_aigen.runtime.upkeep import erase_documents, rebuild_tables, redrive
from tests.crash.worker import BUG, DONE, KEY, RETRY, shorten_lives
from tests.kit.servers.s3 import S3Server
from tests.kit.tries import run_try

__all__ = ["LIVES_S", "MAX_IN_FLIGHT", "TYPE", "Operation", "operate"]

TYPE = "vehicle-registration-book/v2"
LIVES_S = 6.0  # a writer, in place of 30 s; S3 dates in whole seconds
MAX_IN_FLIGHT = 4


@dataclass(frozen=True)
class Operation:
    """``kind`` is run, redrive, rebuild or erase; ``erased`` are the URIs of what is erased."""

    kind: str
    name: str
    prefix: str
    s3: S3Server
    aigen_url: str
    log: Path
    erased: tuple[str, ...] = ()
    min_confidence: float | None = None

    @property
    def destination(self) -> str:
        return f"s3://lake/{self.prefix}/"

    @property
    def dead_letter(self) -> str:
        return f"s3://lake/dead/{self.prefix}/"


def operate(task: Operation) -> None:
    """Never returns."""
    shorten_lives(LIVES_S)
    erase.WRITER_LIVES, erase._LOOK_S = timedelta(seconds=LIVES_S), 0.5
    log = os.open(task.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    code = DONE
    try:
        print(task.name, asyncio.run(_work(task)))
    except (TransientError, ReconciliationError):  # an erasure that was killed, and is not yet tried again
        code = RETRY
        traceback.print_exc()
    except BaseException:  # noqa: BLE001 - it is what the trial looks for
        code = BUG
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


async def _work(task: Operation) -> Any:
    client = task.s3.client(max_pool_connections=16)
    endpoint = EndpointConfig(task.aigen_url, KEY, TYPE, allow_http=True)
    identity = RunIdentity("crash", task.kind, task.name)
    config = PipelineConfig(max_in_flight=MAX_IN_FLIGHT)
    if task.kind == "run":
        return await run_try(
            client,
            endpoint,
            identity,
            Stop(),
            config=config,
            source=f"s3://scans/{task.prefix}/",
            destination=task.destination,
            dead_letter=task.dead_letter,
            batch_size=3,
        )
    state = f"{task.destination}_aigen/"
    calling = endpoint if task.kind == "redrive" else None
    settings = PortSettings(
        client, task.destination, state, task.dead_letter, None, None, calling, 100.0, config.max_in_flight
    )
    if task.kind == "redrive":
        request = RedriveRequest(identity, task.destination, task.dead_letter, TYPE, batch_size=2)
        return await redrive(request, settings, config, Stop(), None)
    if task.kind == "rebuild":
        rebuild = RebuildRequest(
            identity.run_key, task.destination, min_confidence=task.min_confidence, most_documents=9
        )
        return await rebuild_tables(rebuild, settings, Stop())
    erasing = EraseRequest(identity, task.destination, task.dead_letter, task.erased, delete_source=True)
    return await erase_documents(erasing, settings, Stop())
