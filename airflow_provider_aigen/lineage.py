# SPDX-License-Identifier: Apache-2.0
"""Lineage of a run: the source's prefix in, the two tables out. By prefix, never by object: a key may hold a plate.

OpenLineage's provider is optional and only imported when it asks; Airflow's own hook lineage is there from 2.10 on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_aigen.assets import documents_uri, fields_uri
from airflow_provider_aigen.core.uris import S3Prefix, Source
from airflow_provider_aigen.ports import NoObserver

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_aigen.core.models import CommitEntry

__all__ = ["Written", "collect_hook_lineage", "operator_lineage", "source_folder"]


class Written(NoObserver):
    """An observer that counts what this try's commits have written so far, for the statistics of the outputs.

    ``documents`` and ``rows`` are rows of the two tables, ``documents_parts`` and ``fields_parts`` their Parquet files.
    A cleared run writes nothing: its counts are 0, whatever its report says."""

    def __init__(self) -> None:
        self.documents = self.documents_parts = 0
        self.rows = self.fields_parts = 0

    def committed(self, entry: CommitEntry) -> None:
        rows = sum(outcome.field_count for outcome in entry.outcomes)
        self.documents += len(entry.outcomes)
        self.documents_parts += 1
        self.rows += rows
        self.fields_parts += rows > 0  # a commit without rows has no fields part


def operator_lineage(source: str, destination: str, written: Written | None = None) -> OperatorLineage[Any, Any]:
    """The input and both outputs with their schemas; with ``written`` also what was added to them.

    Raises ``ConfigurationError`` for what is no S3 URI, and ``ImportError`` without the OpenLineage provider."""
    from airflow.providers.common.compat.openlineage.facet import (
        InputDataset,
        OutputDataset,
        OutputStatisticsOutputDatasetFacet,
        SchemaDatasetFacet,
        SchemaDatasetFacetFields,
    )
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_aigen.adapters.tables.schemas import DOCUMENTS_SCHEMA, FIELDS_SCHEMA

    bucket, folder = source_folder(source)
    root = S3Prefix.parse("destination", destination)
    outputs = []
    for table, schema in (("fields", FIELDS_SCHEMA), ("documents", DOCUMENTS_SCHEMA)):
        columns = [SchemaDatasetFacetFields(name=column.name, type=_type(column.type)) for column in schema]
        outputs.append(
            OutputDataset(
                namespace=f"s3://{root.bucket}",
                name=root.join(table),
                facets={"schema": SchemaDatasetFacet(fields=columns)},
                outputFacets={}
                if written is None
                else {
                    "outputStatistics": OutputStatisticsOutputDatasetFacet(
                        rowCount=written.rows if table == "fields" else written.documents,
                        fileCount=written.fields_parts if table == "fields" else written.documents_parts,
                    )
                },
            )
        )
    return OperatorLineage(inputs=[InputDataset(namespace=f"s3://{bucket}", name=folder or "/")], outputs=outputs)


def collect_hook_lineage(hook: Any, source: str, destination: str) -> None:
    """Tell Airflow's collector of the same three, for whoever reads it; ``hook`` is the one that they belong to."""
    from airflow.providers.common.compat.lineage.hook import get_hook_lineage_collector

    collector: Any = get_hook_lineage_collector()  # type: ignore[no-untyped-call]
    bucket, folder = source_folder(source)
    collector.add_input_asset(hook, scheme="s3", asset_kwargs={"bucket": bucket, "key": folder})
    for uri in (fields_uri(destination), documents_uri(destination)):
        collector.add_output_asset(hook, uri=uri)


def source_folder(source: str) -> tuple[str, str]:
    """Bucket, and the folder that all of the source lies in, without a slash at its end; ``""`` for the whole bucket.

    A source may also be one object: what looks like a file's name is left out. Raises ``ConfigurationError``."""
    listed = Source.parse(source)
    folder, _, last = listed.prefix.rpartition("/")
    if listed.pattern is None and last and "." not in last:
        folder = listed.prefix
    return listed.bucket, folder


def _type(arrow: Any) -> str:
    """As the manual writes it, without Arrow's names for what a list holds."""
    return str(arrow).replace("item: ", "").replace("element: ", "")
