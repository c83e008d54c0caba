# SPDX-License-Identifier: Apache-2.0
"""The tables as a task's outlets: one event for each table that the run added rows to.

The operator's own outlet is an asset alias. A static outlet would emit an event for every success, could not be
templated, and would have Airflow import the amazon provider while a DAG file is parsed (docs/decisions/0006-assets.md).
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

__all__ = ["alias_name", "announce", "with_alias"]

log = logging.getLogger(__name__)

# Airflow's own limit for a partition's key; and for the name of an asset, which is its URI.
_LONGEST_PARTITION_KEY = 250
_LONGEST_NAME = 1500


def alias_name(dag_id: str, task_id: str) -> str:
    """``<dag_id>.<task_id>``: a DAG that knows the task can be scheduled on this name, whatever the destination is."""
    return f"{dag_id}.{task_id}"


def with_alias(outlets: Sequence[Any], name: str, destination: Any) -> list[Any]:
    """The outlets that the user gave, and an alias ``name`` unless both tables, or an alias, are among them."""
    given = list(outlets)
    if any(isinstance(outlet, AssetAlias) for outlet in given):
        return given
    try:
        tables = {fields_uri(destination), documents_uri(destination)}
    except ConfigurationError:  # it still is a template
        tables = {""}
    if tables <= {getattr(outlet, "uri", None) for outlet in given}:
        return given
    return [*given, AssetAlias(name)]


def announce(outlets: Sequence[Any], context: Context, report: RunReport) -> list[Any]:
    """Put the run's counts on the events, and return the outlets that the task has from now on: those without the
    tables that the run added nothing to.

    A table that is itself among ``outlets`` gets its event there, any other table through the alias. From Airflow 3.3
    on the event has the partition as its key, if the DAG's timetable says that keys are known at run time."""
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
            accessors[assets[uri]].extra = event_extra(report)
            _add_partition(accessors[assets[uri]], context, settings.partition)
        elif len(uri) > _LONGEST_NAME:
            log.warning("The destination is too long for the name of an asset, so no event is emitted for its tables")
        elif alias is not None and _is_known(alias.name):
            accessors[alias].add(Asset(uri), extra=event_extra(report))
        elif alias is not None:
            left.append(asset := Asset(uri))
            accessors[asset].extra = event_extra(report)
    return left


def event_extra(report: RunReport) -> dict[str, Any]:
    """The extra of both tables' events: the counts of the run over all its tries, and the partition that it wrote."""
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
    """Add the partition's key, for a DAG that asks for it only: an event with a key starts no DAG that is scheduled on
    the plain asset."""
    timetable = getattr(context.get("dag"), "timetable", None)
    if not getattr(timetable, "partitioned_at_runtime", False) or not hasattr(accessor, "add_partitions"):
        return
    if 0 < len(partition) <= _LONGEST_PARTITION_KEY:
        accessor.add_partitions(partition)


def _is_known(alias: str) -> bool:
    """Whether Airflow knows the alias from a DAG file.

    Airflow 2 fails a task that uses any other: a mapped task's own alias, or that of a DAG that is tested before the
    scheduler has seen it. An asset that it does not know it ignores."""
    if AIRFLOW_V_3_0_PLUS:
        return True
    try:
        with create_session() as session:
            found = session.scalar(select(DatasetAliasModel.id).where(DatasetAliasModel.name == alias))
    except Exception as error:  # noqa: BLE001 - a task may have no way to the database
        log.debug("The alias was not looked up: %s", type(error).__name__)
        return False
    return found is not None
