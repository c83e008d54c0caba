# SPDX-License-Identifier: Apache-2.0
"""Rendered parameters → requests for work on data that is written already. Only a running task imports this."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from airflow_provider_aigen.adapters.s3.versions import S3Versions
from airflow_provider_aigen.core.announcing import News
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.models import RunIdentity, RunReport, Table
from airflow_provider_aigen.core.upkeep.erasure import EraseRequest
from airflow_provider_aigen.core.upkeep.redrive import RedriveRequest
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.pipeline import Stop, announce_stage, process_stage, report_stage
from airflow_provider_aigen.pipeline.upkeep.erase import erase
from airflow_provider_aigen.pipeline.upkeep.rebuild import RebuildRequest, rebuild
from airflow_provider_aigen.pipeline.upkeep.redrive import redrive_plan, redrive_scope
from airflow_provider_aigen.runtime.assembly import PortSettings, open_ports
from airflow_provider_aigen.runtime.sent_events import Extras

__all__ = [
    "erase_documents",
    "erase_request",
    "preview_redrive",
    "rebuild_request",
    "rebuild_tables",
    "redrive",
    "redrive_request",
]


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


def redrive_request(run: RunIdentity, given: Mapping[str, Any]) -> RedriveRequest:
    """Which dead letters to try again. The parameters are part of the run's identity."""
    names = ("destination", "dead_letter", "document_type", "error_codes", "older_than", "max_documents")
    return RedriveRequest(
        replace(run, parameters=_digest(given, names)),
        S3Prefix.parse("destination", given["destination"]).uri,
        S3Prefix.parse("dead_letter", given["dead_letter"]).uri,
        given["document_type"],
        given["error_codes"],
        given["older_than"],
        given["max_documents"],
    )


async def preview_redrive(request: RedriveRequest, settings: PortSettings, stop: Stop) -> dict[str, Any]:
    """What a redrive would try again, and what it would cost at most; nothing is called or written."""
    async with open_ports(settings) as ports:
        scope = await stop.or_result(redrive_scope(request, ports))
    price = settings.price
    cost = None if price is None else price.cost(paid_calls=scope.documents, answers_reused=0, billed_retries=0)
    return {
        "documents": scope.documents,
        "error_codes": dict(scope.error_codes),
        "cost": None if cost is None else float(cost.paid),
        "currency": None if cost is None else cost.currency,
    }


async def redrive(
    request: RedriveRequest, settings: PortSettings, config: PipelineConfig, stop: Stop, sent: Extras | None
) -> tuple[RunReport, str, News | None]:
    """Try the letters again, commit, report."""
    async with open_ports(settings) as ports:
        plan = await stop.or_result(redrive_plan(request, ports))
        counts = await process_stage(plan, ports, config=config, stop=stop, price=settings.price)
        report, uri = await stop.or_result(report_stage(plan, ports, counts, settings.price))
        news = None if sent is None else await stop.or_result(announce_stage(report.run_key, ports, sent))
        return report, uri, news


def erase_request(run: RunIdentity, given: Mapping[str, Any]) -> EraseRequest:
    """Which documents to erase. The parameters are part of the run's identity, so a retry finds what it began."""
    names = ("destination", "dead_letter", "source_uris", "document_ids", "delete_source")
    return EraseRequest(
        replace(run, parameters=_digest(given, names)),
        S3Prefix.parse("destination", given["destination"]).uri,
        S3Prefix.parse("dead_letter", given["dead_letter"]).uri,
        given["source_uris"] or (),
        given["document_ids"] or (),
        given["delete_source"],
    )


async def erase_documents(request: EraseRequest, settings: PortSettings, stop: Stop) -> dict[str, Any]:
    """Erase, and return the receipt."""
    async with open_ports(settings) as ports:
        versions = S3Versions(settings.client, settings.expected_bucket_owner)
        receipt = await stop.or_result(erase(request, ports, versions))
    return {**asdict(receipt), "erased_at": receipt.erased_at.isoformat()}


def _digest(given: Mapping[str, Any], names: tuple[str, ...]) -> str:
    text = json.dumps([given[name] for name in names], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
