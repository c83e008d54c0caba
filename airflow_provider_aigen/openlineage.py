# SPDX-License-Identifier: Apache-2.0
"""Lineage for OpenLineage: the source's prefix in, the two tables with their columns out.

OpenLineage's provider is optional: it imports this module, through the operator, when it asks for a task's lineage.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.openlineage.facet import (
    InputDataset,
    OutputDataset,
    OutputStatisticsOutputDatasetFacet,
    SchemaDatasetFacet,
    SchemaDatasetFacetFields,
)
from airflow.providers.openlineage.extractors import OperatorLineage

from airflow_provider_aigen.adapters.tables.schemas import DOCUMENTS_SCHEMA, FIELDS_SCHEMA
from airflow_provider_aigen.core.uris import S3Prefix
from airflow_provider_aigen.lineage import WriteCounter, source_folder

__all__ = ["operator_lineage"]


def operator_lineage(
    source: str | None, destination: str, written: WriteCounter | None = None
) -> OperatorLineage[Any, Any]:
    """The input, if the task knows one, and both outputs with their columns; with ``written`` also what was added to
    the outputs.

    Raises ``ConfigurationError`` for what is no S3 URI."""
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
    inputs = []
    if source is not None:
        bucket, folder = source_folder(source)
        inputs.append(InputDataset(namespace=f"s3://{bucket}", name=folder or "/"))
    return OperatorLineage(inputs=inputs, outputs=outputs)


def _type(arrow: Any) -> str:
    """A column's type as the manual writes it, without Arrow's names for the items of a list."""
    return str(arrow).replace("item: ", "").replace("element: ", "")
