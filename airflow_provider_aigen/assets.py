# SPDX-License-Identifier: Apache-2.0
"""The two tables of a destination as Airflow assets. A DAG that reads the tables can be scheduled on them.

DAG files import this module. When an ``Asset`` with an S3 URI is made, Airflow imports the amazon provider; a DAG file
that only writes the tables need not make one (docs/decisions/0006-assets.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_aigen.core.uris import S3Prefix

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

__all__ = ["documents_asset", "documents_uri", "fields_asset", "fields_uri", "triggering_partitions"]

# The characters that a URI's path may hold as they are (RFC 3986). A key may hold others, and Airflow drops what stands
# behind "#" or "?".
_AS_IT_IS = "/!$&'()*+,;=:@-._~"


def fields_asset(destination: str) -> Asset:
    """The table ``fields`` of a destination, with one row per field: ``schedule=[fields_asset("s3://lake/books/")]``.

    Raises ``ConfigurationError`` for anything except an S3 prefix, so for a template too."""
    return _asset(fields_uri(destination))


def documents_asset(destination: str) -> Asset:
    """The table ``documents`` of a destination, with one row per object of the source.

    Raises as :func:`fields_asset`."""
    return _asset(documents_uri(destination))


def fields_uri(destination: str) -> str:
    """The URI of :func:`fields_asset`, without a slash at its end, and percent-encoded as a URI must be. It never holds
    the key of an object. Raises ``ConfigurationError``."""
    return _uri(destination, "fields")


def documents_uri(destination: str) -> str:
    """The URI of :func:`documents_asset`. Raises ``ConfigurationError``."""
    return _uri(destination, "documents")


def triggering_partitions(context: Context | Mapping[str, Any]) -> list[str]:
    """The partitions in the events that started this run, sorted, each once: ``["dt=2026-11-22"]``.

    There may be events of several runs, because the writer may have run more often than the reader. The list is empty
    if no event of the operator started the run, for example if it was triggered by hand."""
    events: Any = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    # On Airflow 3 an event is listed under its asset and under its alias.
    return sorted(
        {partition for key in events for event in events[key] for partition in _partitions(event.extra or {})}
    )


def _partitions(extra: Mapping[str, Any]) -> list[str]:
    """One event may be about several. Version 0.1 named the one of its run, as ``partition``."""
    partitions = extra.get("partitions", extra.get("partition"))
    return partitions.split(",") if isinstance(partitions, str) else []


def _uri(destination: str, table: str) -> str:
    root = S3Prefix.parse("destination", destination)
    return f"s3://{root.bucket}/{quote(root.join(table), safe=_AS_IT_IS)}"


def _asset(uri: str) -> Asset:
    return Asset(uri)
