# SPDX-License-Identifier: Apache-2.0
"""The two tables of a destination as Airflow assets: what a DAG that reads them is scheduled on.

DAG files import this module, so nothing heavy is imported at its head. Making an ``Asset`` with an S3 URI has Airflow
import the amazon provider; a DAG file that only writes the tables need not make one (docs/decisions/0006-assets.md).
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

# What a path of a URI may hold as it is (RFC 3986); a key may hold more, and Airflow drops what follows # or ?.
_AS_IT_IS = "/!$&'()*+,;=:@-._~"


def fields_asset(destination: str) -> Asset:
    """The table ``fields`` of a destination, one row a field: ``schedule=[fields_asset("s3://lake/books/")]``.

    Raises ``ConfigurationError`` for anything but an S3 prefix; a template is none."""
    return _asset(fields_uri(destination))


def documents_asset(destination: str) -> Asset:
    """The table ``documents`` of a destination, one row an object of the source. Raises as :func:`fields_asset`."""
    return _asset(documents_uri(destination))


def fields_uri(destination: str) -> str:
    """The URI of :func:`fields_asset`: no slash at its end, and percent-encoded where a URI must be. No key of an
    object is ever in it. Raises ``ConfigurationError``."""
    return _uri(destination, "fields")


def documents_uri(destination: str) -> str:
    """The URI of :func:`documents_asset`. Raises ``ConfigurationError``."""
    return _uri(destination, "documents")


def triggering_partitions(context: Context | Mapping[str, Any]) -> list[str]:
    """The partitions that the events which started this run tell of, sorted, each once: ``["dt=2026-11-22"]``.

    Several runs of the writer may have gone by before the reader's began. Empty where no event of the operator started
    the run: triggered by hand, for one."""
    events: Any = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    # On Airflow 3 an event stands under its asset and under its alias.
    return sorted(
        {
            event.extra["partition"]
            for key in events
            for event in events[key]
            if isinstance((event.extra or {}).get("partition"), str)
        }
    )


def _uri(destination: str, table: str) -> str:
    root = S3Prefix.parse("destination", destination)
    return f"s3://{root.bucket}/{quote(root.join(table), safe=_AS_IT_IS)}"


def _asset(uri: str) -> Asset:
    return Asset(uri)
