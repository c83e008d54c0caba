# SPDX-License-Identifier: Apache-2.0
"""The stages of a plan that several tasks share: one plans, each of many calls for a shard, one reports.

A plan of another destination is refused before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_aigen.core.announcing import News
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.errors import ConfigurationError, MissingOutcomesError, UnfinishedPlanError
from airflow_provider_aigen.core.models import Plan, RunReport
from airflow_provider_aigen.core.planning import PlanRequest
from airflow_provider_aigen.core.shards import PlanAddress, Shard
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.pipeline import Stop, announce_stage, plan_stage, process_stage, report_stage, shards_stage
from airflow_provider_aigen.pipeline.process import CallCounts
from airflow_provider_aigen.ports import StateStore
from airflow_provider_aigen.runtime.assembly import PortSettings, open_ports
from airflow_provider_aigen.runtime.sent_events import Extras

__all__ = ["check_address", "ocr_shard", "plan_in_shards", "report_plan"]

# What a task may say of the rows again, and then as its plan says it.
_SAID_BY_THE_PLAN = ("partition", "min_confidence", "copy_image")


def check_address(address: PlanAddress, state: str) -> None:
    """Raise ``ConfigurationError`` unless the plan lies in this ``state``, an S3 URI."""
    if address.state.uri != state:
        raise ConfigurationError(
            "plan", "lies in another state than this task's: give all tasks of a plan the same destination and state"
        )


async def plan_in_shards(
    request: PlanRequest, settings: PortSettings, stop: Stop, *, shards: int, batch_size: int
) -> tuple[Plan, list[Shard]]:
    """Plan, and cut the plan."""
    async with open_ports(settings) as ports:
        plan = await stop.or_result(plan_stage(request, ports))
        return plan, await stop.or_result(shards_stage(plan, ports, shards=shards, batch_size=batch_size))


async def ocr_shard(
    address: PlanAddress,
    shard: Shard,
    settings: PortSettings,
    config: PipelineConfig,
    parameters: Mapping[str, Any],
    stop: Stop,
) -> CallCounts:
    """Take the documents of a shard to their commits."""
    async with open_ports(settings) as ports:
        plan = await stop.or_result(_read_plan(address, ports.state))
        _check_plan(plan, parameters)
        if plan.settings.document_type != parameters["document_type"]:
            raise _differs("document_type")
        return await process_stage(plan, ports, config=config, stop=stop, price=settings.price, shard=shard)


async def report_plan(
    address: PlanAddress, settings: PortSettings, parameters: Mapping[str, Any], stop: Stop, sent: Extras | None
) -> tuple[RunReport, str, News | None]:
    """Account for all documents of the plan, and see what may be announced; ``sent`` are the extras of events that are
    stored. Raises ``UnfinishedPlanError`` where a document has no outcome."""
    async with open_ports(settings) as ports:
        plan = await stop.or_result(_read_plan(address, ports.state))
        _check_plan(plan, parameters)
        try:
            report, uri = await stop.or_result(report_stage(plan, ports, None, settings.price))
        except MissingOutcomesError as error:
            raise UnfinishedPlanError(
                f"{error.missing} of {error.documents} planned documents have no outcome, because a task that works on "
                "the plan did not succeed: its log says why. Clear that task together with its downstream tasks"
            ) from None
        news = None if sent is None else await stop.or_result(announce_stage(report.run_key, ports, sent))
        return report, uri, news


async def _read_plan(address: PlanAddress, state: StateStore) -> Plan:
    plan = await state.read_plan(address.run_key)
    if plan is None:
        raise ConfigurationError("plan", "is not there any more: clear the task that plans, with its downstream tasks")
    return plan


def _check_plan(plan: Plan, parameters: Mapping[str, Any]) -> None:
    for name in ("destination", "dead_letter"):
        if getattr(plan.settings, name) != S3Prefix.parse(name, parameters[name]).uri:
            raise _differs(name)
    for name in _SAID_BY_THE_PLAN:
        planned, said = getattr(plan.settings, name), parameters.get(name)
        if said is not None and said != planned and not (name == "copy_image" and said):
            raise _differs(name)
    schema = parameters.get("record_schema")
    if schema is not None and tuple(schema.items()) != plan.settings.record_schema:
        raise _differs("record_schema")


def _differs(name: str) -> ConfigurationError:
    return ConfigurationError(name, "is another one than the plan's: give all tasks of a plan the same one")
