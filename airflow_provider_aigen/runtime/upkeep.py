# SPDX-License-Identifier: Apache-2.0
"""Rendered parameters → requests for work on data that is written already. Only a running task imports this."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from airflow_provider_aigen.core.models import RunIdentity, Table
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.pipeline import Stop
from airflow_provider_aigen.pipeline.upkeep.rebuild import RebuildRequest, rebuild
from airflow_provider_aigen.runtime.assembly import PortSettings, open_ports

__all__ = ["rebuild_request", "rebuild_tables"]


def rebuild_request(run: RunIdentity, given: Mapping[str, Any]) -> RebuildRequest:
    """What to rebuild. The parameters are part of the run's identity: cleared with others, a task begins anew."""
    names = ("destination", "since", "tables", "min_confidence", "record_schema", "compact")
    schema = given["record_schema"]
    return RebuildRequest(
        replace(run, parameters=_digest(given, names)).run_key,
        S3Prefix.parse("destination", given["destination"]).uri,
        tuple(Table(name) for name in given["tables"] if name != "runs"),
        "runs" in given["tables"],
        given["since"],
        given["min_confidence"],
        None if schema is None else tuple(schema.items()),
        given["compact"],
    )


async def rebuild_tables(request: RebuildRequest, settings: PortSettings, stop: Stop) -> dict[str, int]:
    """Rebuild, and return the counts."""
    async with open_ports(settings) as ports:
        return asdict(await stop.or_result(rebuild(request, ports)))


def _digest(given: Mapping[str, Any], names: tuple[str, ...]) -> str:
    text = json.dumps([given[name] for name in names], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
