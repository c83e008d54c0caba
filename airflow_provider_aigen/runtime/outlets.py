# SPDX-License-Identifier: Apache-2.0
"""The tables as a task's outlets: one event for each table that the run added rows to, none where it added none.

A static outlet would tell of every success, could not be templated, and has Airflow import the amazon provider while a
DAG file is parsed; so the operator's own outlet is an asset alias (docs/decisions/0006-assets.md).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import Asset, AssetAlias
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_aigen.assets import documents_uri, fields_uri
from airflow_provider_aigen.core.errors import ConfigurationError

if not AIRFLOW_V_3_0_PLUS:  # all three are there before a DAG file is parsed
    from airflow.models.dataset import DatasetAliasModel  # type: ignore[import-not-found]
    from airflow.utils.session import create_session
    from sqlalchemy import select

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_aigen.core.models import RunReport

__all__ = ["alias_name", "tell", "with_alias"]

log = logging.getLogger(__name__)

# Airflow's own limit for a partition's key; and for the name of an asset, which is its URI.
_LONGEST_PARTITION_KEY = 250
_LONGEST_NAME = 1500


def alias_name(dag_id: str, task_id: str) -> str:
    """``<dag_id>.<task_id>``: whoever knows the task can be scheduled on it, wherever its destination is."""
    return f"{dag_id}.{task_id}"


def with_alias(outlets: Sequence[Any], name: str, destination: Any) -> list[Any]:
    """The outlets that the user gave and, unless these have both tables or an alias of their own, an alias ``name``."""
    given = list(outlets)
    if any(isinstance(outlet, AssetAlias) for outlet in given):
        return given
    try:
        tables = {fields_uri(destination), documents_uri(destination)}
    except ConfigurationError:  # a template still
        tables = {""}
    if tables <= {getattr(outlet, "uri", None) for outlet in given}:
        return given
    return [*given, AssetAlias(name)]


def tell(outlets: Sequence[Any], context: Context, report: RunReport) -> list[Any]:
    """Put the run's counts on the events, and return the outlets that the task has then: without the tables that the
    run added nothing to.

    A table that is among ``outlets`` as an asset gets its event there, with the partition as the event's partition key
    where the DAG's timetable says that keys are known at run time (Airflow 3.3 on); any other through the alias."""
    accessors: Any = context.get("outlet_events")
    settings = report.settings
    if accessors is None or settings is None:
        return list(outlets)
    changed = {
        fields_uri(settings.destination): bool(report.commits and report.rows),
        documents_uri(settings.destination): bool(report.commits),
    }
    left = [outlet for outlet in outlets if changed.get(getattr(outlet, "uri", ""), True)]
    assets = {outlet.uri: outlet for outlet in left if isinstance(outlet, Asset) and outlet.uri in changed}
    alias = next((outlet for outlet in left if isinstance(outlet, AssetAlias)), None)
    for uri in (uri for uri, has_changed in changed.items() if has_changed):
        if uri in assets:
            accessors[assets[uri]].extra = told(report)
            _add_partition(accessors[assets[uri]], context, settings.partition)
        elif len(uri) > _LONGEST_NAME:
            log.warning("The destination is too long for an asset's name: no event tells of its tables")
        elif alias is not None and _is_known(alias.name):
            accessors[alias].add(Asset(uri), extra=told(report))
        elif alias is not None:
            left.append(asset := Asset(uri))
            accessors[asset].extra = told(report)
    return left


def told(report: RunReport) -> dict[str, Any]:
    """The extra of both tables' events: counts of the run, whatever its try, and the partition that it wrote to."""
    return {
        "run_key": report.run_key,
        "partition": report.settings.partition if report.settings else "",
        "rows": report.rows,
        "documents": report.documents,
        "extracted": report.extracted,
        "partial": report.partial,
        "dead_letter": report.dead_letter,
        "gone": report.gone,
    }


def _add_partition(accessor: Any, context: Context, partition: str) -> None:
    """Only for a DAG that says so: an event with a key starts none of the DAGs on the plain asset."""
    timetable = getattr(context.get("dag"), "timetable", None)
    if not getattr(timetable, "partitioned_at_runtime", False) or not hasattr(accessor, "add_partitions"):
        return
    if 0 < len(partition) <= _LONGEST_PARTITION_KEY:
        accessor.add_partitions(partition)


def _is_known(alias: str) -> bool:
    """Airflow 2 fails a task that uses an alias which no DAG file has told it of: a mapped task's own, or that of a DAG
    which is tried before the scheduler has seen it. An asset that it doesn't know, it passes over."""
    if AIRFLOW_V_3_0_PLUS:
        return True
    try:
        with create_session() as session:
            found = session.scalar(select(DatasetAliasModel.id).where(DatasetAliasModel.name == alias))
    except Exception as error:  # noqa: BLE001 - a task without a way to the database does as well
        log.debug("The alias was not looked for: %s", type(error).__name__)
        return False
    return found is not None
