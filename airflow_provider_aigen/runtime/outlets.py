# SPDX-License-Identifier: Apache-2.0
"""The tables as a task's outlets: one event for each table that has something new to announce.

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

    from airflow_provider_aigen.core.announcing import Announcement

__all__ = ["alias_name", "announce", "is_known", "is_too_long", "with_alias"]

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


def announce(
    outlets: Sequence[Any], context: Context, destination: str, announcement: Announcement | None
) -> list[Any]:
    """Put the announcement on the events, and return the outlets that the task has from now on: those without the
    tables that have nothing new.

    A table that is itself among ``outlets`` gets its event there, any other table through the alias. From Airflow 3.3
    on the event has the partition as its key, if the DAG's timetable says that keys are known at run time."""
    accessors: Any = context.get("outlet_events")
    if accessors is None:
        return list(outlets)
    fields, documents = fields_uri(destination), documents_uri(destination)
    changed = {
        fields: announcement is not None and announcement.rows > 0,
        documents: announcement is not None,
    }
    left = [outlet for outlet in outlets if changed.get(getattr(outlet, "uri", ""), True)]
    if announcement is None:
        return left
    assets = {outlet.uri: outlet for outlet in left if isinstance(outlet, Asset) and outlet.uri in changed}
    alias = next((outlet for outlet in left if isinstance(outlet, AssetAlias)), None)
    for uri in (uri for uri, has_changed in changed.items() if has_changed):
        with_rows = uri == fields
        extra = announcement.extra(with_rows=with_rows)
        if uri in assets:
            accessors[assets[uri]].extra = extra
            _add_partitions(accessors[assets[uri]], context, announcement.partitions(with_rows=with_rows))
        elif is_too_long(uri):
            log.warning("The destination is too long for the name of an asset, so no event is emitted for its tables")
        elif alias is not None and is_known(alias.name):
            accessors[alias].add(Asset(uri), extra=extra)
        elif alias is not None:
            left.append(asset := Asset(uri))
            accessors[asset].extra = extra
    return left


def is_too_long(uri: str) -> bool:
    """Whether Airflow has no room for an asset with this URI."""
    return len(uri) > _LONGEST_NAME


def _add_partitions(accessor: Any, context: Context, partitions: Sequence[str]) -> None:
    """Add the partitions' keys, for a DAG that asks for them only: an event with a key starts no DAG that is scheduled
    on the plain asset."""
    timetable = getattr(context.get("dag"), "timetable", None)
    if not getattr(timetable, "partitioned_at_runtime", False) or not hasattr(accessor, "add_partitions"):
        return
    for partition in partitions:
        if 0 < len(partition) <= _LONGEST_PARTITION_KEY:
            accessor.add_partitions(partition)


def is_known(alias: str) -> bool:
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
