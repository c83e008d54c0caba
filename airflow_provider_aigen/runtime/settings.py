# SPDX-License-Identifier: Apache-2.0
"""Checked parameters and Airflow's connections → the settings of the adapters. Connections are looked up here,
synchronously, before an event loop runs (design §7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from airflow_provider_aigen.connections.redis import redis_settings
from airflow_provider_aigen.connections.s3 import s3_client
from airflow_provider_aigen.core.config import PipelineConfig
from airflow_provider_aigen.core.defaults import DEFAULT_MAX_REPEAT_RATIO, DEFAULT_RETRY_PASSING_ROUNDS
from airflow_provider_aigen.core.spend import limit_price
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.hooks.aigen import AigenHook
from airflow_provider_aigen.ports import Observer
from airflow_provider_aigen.runtime.assembly import PortSettings

__all__ = ["calling_settings", "pipeline_config", "port_settings"]


def port_settings(given: Mapping[str, Any]) -> PortSettings:
    """Those of a process that calls nothing. Looks the AWS connection up."""
    state = given["state"] or f"{S3Prefix.parse('destination', given['destination']).uri}_aigen/"
    return PortSettings(
        client=s3_client(given["aws_conn_id"], given.get("max_in_flight", 1)),
        destination=given["destination"],
        state=S3Prefix.parse("state", state).uri,
        dead_letter=given.get("dead_letter"),
        expected_bucket_owner=given["expected_bucket_owner"],
        sse_kms_key_id=given["sse_kms_key_id"],
    )


def calling_settings(settings: PortSettings, given: Mapping[str, Any], observer: Observer) -> PortSettings:
    """The same for a process that calls the endpoint. Looks its connections up."""
    hook = AigenHook(given["aigen_conn_id"])
    if given["max_spend"] is not None:
        limit_price(hook.price)
    requests_per_second = given["requests_per_second"]
    return replace(
        settings,
        endpoint=hook.endpoint(given["document_type"]),
        requests_per_second=hook.requests_per_second if requests_per_second is None else requests_per_second,
        limit_shared_by=given["limit_shared_by"],
        redis=redis_settings(given["redis_conn_id"]) if given["redis_conn_id"] else None,
        price=hook.price,
        observer=observer,
        max_in_flight=given["max_in_flight"],
    )


def pipeline_config(given: Mapping[str, Any]) -> PipelineConfig:
    """What the parameters say of how a run works."""
    return PipelineConfig(
        max_in_flight=given["max_in_flight"],
        max_repeat_ratio=given.get("max_repeat_ratio", DEFAULT_MAX_REPEAT_RATIO),
        passing_rounds=given.get("retry_passing_rounds", DEFAULT_RETRY_PASSING_ROUNDS),
        max_spend=given["max_spend"],
    )
