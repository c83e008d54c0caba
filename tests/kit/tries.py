# SPDX-License-Identifier: Apache-2.0
"""One try of a task on real servers: what the operator does when its connections are resolved."""

from __future__ import annotations

from typing import Any

from airflow_provider_aigen.core.config import EndpointConfig, PipelineConfig
from airflow_provider_aigen.core.models import RunIdentity, RunReport
from airflow_provider_aigen.core.spend import Price
from airflow_provider_aigen.pipeline import Stop, run
from airflow_provider_aigen.runtime.assembly import PortSettings, open_ports
from airflow_provider_aigen.runtime.request import plan_request

__all__ = ["run_try"]


async def run_try(
    client: Any,
    endpoint: EndpointConfig,
    identity: RunIdentity,
    stop: Stop,
    *,
    config: PipelineConfig,
    source: str,
    destination: str,
    dead_letter: str,
    requests_per_second: float = 500.0,
    price: Price | None = None,
    **settings: Any,
) -> RunReport:
    """Raises what the pipeline raises. ``settings`` are those of ``plan_request``, where they are no default."""
    defaults = {
        "document_type": endpoint.document_type,
        "partition": "dt=2026-11-22",
        "max_documents": None,
        "min_confidence": None,
        "copy_image": True,
        "retry_passing_after_s": 900.0,
    }
    request = plan_request(
        identity, source=source, destination=destination, dead_letter=dead_letter, **defaults | settings
    )
    given = PortSettings(
        client=client,
        endpoint=endpoint,
        requests_per_second=requests_per_second,
        max_in_flight=config.max_in_flight,
        destination=destination,
        state=f"{destination}_aigen/",
        dead_letter=dead_letter,
        expected_bucket_owner=None,
        sse_kms_key_id=None,
    )
    async with open_ports(given) as ports:
        report, _ = await run(request, ports, config=config, stop=stop, price=price)
        return report
